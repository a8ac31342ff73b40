/// How the ranks of a run are arranged: data × tensor. The tensor dimension is the inner one, so that ranks
/// which exchange most are neighbours, on one host where hosts have room for them. A pipeline's dimension
/// would be the outermost.
///
/// | rank | 0 | 1 | 2 | 3 |
/// | --- | --- | --- | --- | --- |
/// | data, of 2 | 0 | 0 | 1 | 1 |
/// | tensor, of 2 | 0 | 1 | 0 | 1 |
public struct MeshShape: Hashable, Sendable {
    /// Copies of the model, each of which trains on its own part of a step's micro-batches.
    public let data: Int
    /// Ranks that hold one copy of the model together.
    public let tensor: Int

    public init(data: Int, tensor: Int) {
        precondition(
            data > 0 && tensor > 0, "MeshShape: expected degrees from 1, got \(data) × \(tensor)")
        (self.data, self.tensor) = (data, tensor)
    }

    public var rankCount: Int { data * tensor }

    /// Place along the data dimension.
    public func dataRank(of rank: Int) -> Int { rank / tensor }
    /// Place along the tensor dimension.
    public func tensorRank(of rank: Int) -> Int { rank % tensor }
}

/// The groups that this rank is in.
public struct Mesh: Sendable {
    public let shape: MeshShape
    /// All ranks. In each of the groups those of a host share memory where they can.
    public let world: any Communicator
    /// The ranks that hold the same part of the model as this one, one of each copy: gradients are added where they
    /// lie, and weights are there once.
    public let data: any Communicator
    /// The ranks that hold one copy of the model together with this one: their sums are many, and each is waited for.
    public let tensor: any Communicator

    /// Collective over `world`, and blocking. `tensor` divides the number of ranks.
    public init(_ world: any Communicator, tensor: Int = 1) throws(CommunicationError) {
        precondition(
            tensor > 0 && world.size.isMultiple(of: tensor),
            "Mesh: a tensor degree of \(tensor) does not divide \(world.size) ranks")
        let shape = MeshShape(data: world.size / tensor, tensor: tensor)
        let (row, column) = (shape.dataRank(of: world.rank), shape.tensorRank(of: world.rank))
        self.shape = shape
        let all =
            world.size == 1
            ? world : try world.split(color: 0, key: world.rank, sharesMemory: true)
        self.world = all
        func group(_ color: Int, _ key: Int, size: Int) throws(CommunicationError)
            -> any Communicator
        {
            switch size {
            case 1: InProcess.alone()
            case all.size: all
            default: try world.split(color: color, key: key, sharesMemory: true)
            }
        }
        data = try group(column, row, size: shape.data)
        self.tensor = try group(row, column, size: tensor)
    }

    /// Data parallelism alone.
    public init(data world: any Communicator) {
        shape = MeshShape(data: world.size, tensor: 1)
        (self.world, data, tensor) = (world, world, InProcess.alone())
    }

    init(
        shape: MeshShape, world: any Communicator, data: any Communicator,
        tensor: any Communicator
    ) {
        (self.shape, self.world, self.data, self.tensor) = (shape, world, data, tensor)
    }

    public var dataRank: Int { shape.dataRank(of: world.rank) }
    public var tensorRank: Int { shape.tensorRank(of: world.rank) }
}
