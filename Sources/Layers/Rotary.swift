import Tensors

/// Rotary positions of one context length, whose table is made at the first use and shared by the layers
/// that share this.
public final class Rotary {
    public let configuration: RotaryConfiguration
    public let positions: Int
    public private(set) lazy var table = configuration.table(positions: positions)

    public init(_ configuration: RotaryConfiguration, positions: Int) {
        (self.configuration, self.positions) = (configuration, positions)
    }

    /// Turns heads of a fused projection in place: see the primitive `rotary` for what `x` must be.
    func callAsFunction(_ x: Tensor, headOffsets: [Int], starts: [Int]?, _ pass: Pass) -> Tensor {
        rotary(
            x, headOffsets: headOffsets, table: table, starts: starts,
            positions: pass.documents?.positions, tape: pass.tape)
    }
}
