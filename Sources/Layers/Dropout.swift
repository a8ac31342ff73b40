import Tensors

/// Inverted dropout of a tensor [sequences, tokens, width] at a named site.
public struct Dropout: Sendable {
    public let site: String
    public let rate: Float

    public init(_ site: String, rate: Float) { (self.site, self.rate) = (site, rate) }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        guard let site = site(for: x.shape, pass) else { return x }
        return dropout(x, site: site, tape: pass.tape)
    }

    /// The same as an epilogue of the product that makes a tensor of this shape.
    func site(for shape: Shape, _ pass: Pass) -> DropoutSite? {
        pass.dropout(
            site, rate: rate, elementsPerSequence: shape.count / max(1, shape[0]))
    }
}
