"""DICOM: a storage SCP whose studies become exams, and structured reports that are sent from a durable queue.

    settings    the two URIs taken apart            source      objects, one exam after the other, as frames
    scp         the server and what it takes        exams       records gathered by exam
    guard       limits of one connection            report      an exam's result as DICOM objects
    decoder     decoding, in a process of its own   outbox      what is to be sent, on disk
    inbox       what waits to be looked at          forward     from records to the outbox, and from there away
    studies     whose exam it is, in memory only

What is received stays in memory and is gone when it was looked at. Names and numbers of patients go from the source to
the report inside this process, by `studies`: they are in no record and in no line of the log.
"""
