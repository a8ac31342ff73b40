import CCrypto

/// A SHA-256 taken while bytes go by (FIPS 180-4). A copy goes on by itself.
package struct SHA256: @unchecked Sendable {
    private var state = State()

    package init() {}

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        if !isKnownUniquelyReferenced(&state) { state = State(copying: state) }
        require(EVP_DigestUpdate(state.context, bytes.baseAddress, bytes.count))
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// The digest of what has gone by: 32 bytes. More may follow.
    package func digest() -> [UInt8] {
        let last = State(copying: state)
        return [UInt8](unsafeUninitializedCapacity: 32) { bytes, count in
            require(EVP_DigestFinal_ex(last.context, bytes.baseAddress, nil))
            count = 32
        }
    }

    /// The digest of `bytes`.
    package static func digest(of bytes: [UInt8]) -> [UInt8] {
        var function = SHA256()
        function.update(bytes)
        return function.digest()
    }

    /// libcrypto's state of one computation, freed with the last value that has it.
    private final class State {
        let context: OpaquePointer

        init() {
            context = EVP_MD_CTX_new()
            require(EVP_DigestInit_ex(context, EVP_sha256(), nil))
        }

        init(copying other: State) {
            context = EVP_MD_CTX_new()
            require(EVP_MD_CTX_copy_ex(context, other.context))
        }

        deinit { EVP_MD_CTX_free(context) }
    }
}

/// libcrypto refuses SHA-256 only where it is broken or configured to.
private func require(_ result: Int32) {
    precondition(result == 1, "SHA-256: libcrypto expected to know it, refused")
}
