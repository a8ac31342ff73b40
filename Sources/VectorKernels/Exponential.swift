// The exponential for softmax, whose arguments may be anything.

/// eˣ for every x: exactly 0 below −87 (so also for −∞), +∞ above 88.72, not a number stays so; within
/// 2 units in the last place between.
@_transparent  // a mere @inline(__always) was left as a call in loops that have two
func totalExponential(_ x: Vector) -> Vector {
    var result = exponential(x)
    result.replace(with: 0, where: x .< Vector(repeating: -87))
    result.replace(
        with: x + Vector(repeating: .infinity), where: .!(x .<= Vector(repeating: 88.72)))
    return result
}
