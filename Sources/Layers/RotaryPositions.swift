import Tensors

/// The angles of a model's positions, which its layers share; made when they are first asked for.
public final class RotaryPositions {
    public let configuration: RotaryConfiguration
    private var table: RotaryTable?

    public init(_ configuration: RotaryConfiguration) { self.configuration = configuration }

    /// A table of positions 0 ..< `count`, or of more where that is the same.
    func table(positions count: Int) -> RotaryTable {
        if let table, fits(table, count) { return table }
        let made = configuration.table(positions: count)
        table = made
        return made
    }

    private func fits(_ table: RotaryTable, _ count: Int) -> Bool {
        guard case .dynamic(_, let original) = configuration.scaling else {
            return table.positionCount >= count
        }
        // Beyond the original length, each has its own frequencies.
        return table.positionCount == count
            || (table.positionCount >= count && table.positionCount <= original)
    }
}
