// What goes through a preparation: texts, and records that are made of several.

import Datasets

/// A text, or a record of several texts, on its way from a file to a shard.
package struct Document: Sendable, Equatable {
    /// One text of it.
    package struct Part: Sendable, Equatable {
        package var role: RecordRole
        /// UTF-8.
        package var text: [UInt8]

        package init(_ role: RecordRole, _ text: [UInt8]) { (self.role, self.text) = (role, text) }
    }

    /// In order; a plain text has one, of the role `text`.
    package var parts: [Part]
    /// The class of a labelled text, from 0.
    package var label: Int?
    /// Where the text was found, as its file says.
    package var address: String?
    /// Which of its file's it is, from 0.
    package var number: Int

    package init(parts: [Part], label: Int? = nil, address: String? = nil, number: Int) {
        (self.parts, self.label, self.address, self.number) = (parts, label, address, number)
    }

    package init(text: [UInt8], number: Int) {
        self.init(parts: [Part(.text, text)], number: number)
    }
}
