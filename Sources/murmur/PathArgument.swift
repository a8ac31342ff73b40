import ArgumentParser
import Configuration
import Training

/// Turns an argument that names a file or a folder into its path.
@Sendable func path(_ argument: String) throws -> String {
    guard !argument.isEmpty else { throw ValidationError("expected a path, found nothing") }
    return argument.expandingHome
}
