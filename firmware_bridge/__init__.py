"""Doors between an ultrasound machine's own software and the classifier. Linux only.

    ring        same computer: a C SDK (`sdk`), frames in shared memory, answers on the same socket
    igtl        network: OpenIGTLink
    dicom       hospital: a storage SCP in, structured reports out
    micro       a microcontroller: integer preprocessing in C, which ``edge-cns convert-to c-array`` copies

Each of the first three is a source and a sink of ``edge-cns run``; the entry points of the distribution connect them.
"""
