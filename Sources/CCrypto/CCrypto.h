// OpenSSL's digests: of libcrypto only SHA-256 is used (Sources/Kernels/Files/Digest.swift).
#include <openssl/evp.h>
#include <openssl/sha.h>
