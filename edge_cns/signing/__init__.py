"""Who vouches for a bundle: signatures of OpenSSF Model Signing over the whole folder, made and verified offline.

    signed_file     the statement in ``model.sig`` and the envelope around it
    keys            public keys
    certificates    a signer's certificate up to a root that is trusted
    maker           a private key: made, read, used
    trust           the public keys and roots that a site trusts
    policy          what a missing or a bad signature means here

Only ``cryptography`` is needed, and only where something is signed or verified.
"""
