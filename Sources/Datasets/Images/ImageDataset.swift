import Files

/// Images of a training and a validation split, and what is made of them on the way to a model.
public struct ImageDataset: Sendable {
    /// Where images lie: a folder with a folder for each class, or an array of images with one of labels.
    public struct Place: Sendable, Equatable {
        public var images: String
        public var labels: String?

        public init(images: String, labels: String? = nil) {
            (self.images, self.labels) = (images, labels)
        }
    }

    let train: ImageSet
    let validation: ImageSet
    /// Numbers in the sets.
    let trainIndices: [Int]
    let validationIndices: [Int]
    public let classes: [String]

    /// - Parameters:
    ///   - validation: nil: `fraction` of the training images is held out, drawn by their numbers, always the same.
    ///   - channels: of a pixel, which the model takes.
    public init(
        train: Place, validation: Place?, fraction: Double, channels: Int
    ) throws(DatasetError) {
        self.train = try ImageSet(images: train.images, labels: train.labels, channels: channels)
        guard let validation else {
            self.validation = self.train
            let held = Int((Double(self.train.count) * fraction).rounded())
            guard held > 0, held < self.train.count else {
                throw DatasetError(
                    .tooSmall,
                    "\(train.images): expected images to train on and to hold out, found \(self.train.count) "
                        + "of which \(held) would be held out; name data.validation_images, or change "
                        + "data.validation_fraction")
            }
            let order = Permutation(count: self.train.count, key: 0x686F_6C64)
            let drawn = (0..<self.train.count).map { order[$0] }
            validationIndices = drawn[..<held].sorted()
            trainIndices = drawn[held...].sorted()
            classes = self.train.classes
            return
        }
        self.validation = try ImageSet(
            images: validation.images, labels: validation.labels, channels: channels)
        (trainIndices, validationIndices) = (
            Array(0..<self.train.count), Array(0..<self.validation.count)
        )
        classes = self.train.classes
        // Arrays have numbers for names, of which a split may miss the last.
        let isKnown =
            train.labels != nil
            ? self.validation.classes.count <= classes.count : self.validation.classes == classes
        guard isKnown else {
            throw DatasetError(
                .mismatch,
                "\(validation.images): expected the \(classes.count) classes of \(train.images), found "
                    + "\(self.validation.classes.count): \(self.validation.classes.prefix(10).joined(separator: ", "))"
            )
        }
    }

    /// SHA-256 that names the images of both splits and their classes.
    public var fingerprint: String {
        let parts = [
            train.fingerprint, validation.fingerprint, "\(trainIndices.count)",
            classes.joined(separator: "\n"),
        ]
        return SHA256.digest(of: Array(parts.joined(separator: "\n").utf8)).hexadecimal
    }

    public var trainCount: Int { trainIndices.count }
}
