"""OpenIGTLink: images in, verdicts out, over one TCP connection.

    wire        header, extended header, metadata, checksum        content     STRING, STATUS, NDARRAY, CAPABILITY
    image       IMAGE, and images that come in parts               reading     messages out of a stream of bytes
    events      what a machine says beside its images              letters     what is said of a verdict
    connection  one peer                                           floor       which peer is heard
    endpoint    all peers of one URI: listener, connector          source, sink the doors of `edge-cns run`

`wire`, `content`, `image`, `reading`, `events` and `letters` know no socket. See `docs/openigtlink.md`.
"""
