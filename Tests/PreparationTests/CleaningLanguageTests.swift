// Languages, on sentences of the Universal Declaration of Human Rights.

import Datasets
import Foundation
import Preparation
import Testing

@Suite struct CleaningLanguageTests {
    private static let english = """
        All human beings are born free and equal in dignity and rights. They are endowed with reason and \
        conscience and should act towards one another in a spirit of brotherhood. Everyone has the right to \
        life, liberty and security of person. No one shall be held in slavery or servitude. Everyone has the \
        right to freedom of thought, conscience and religion. Everyone is entitled to all the rights and \
        freedoms set forth in this Declaration, without distinction of any kind.
        """
    private static let german = """
        Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen \
        begabt und sollen einander im Geiste der Brüderlichkeit begegnen. Jeder hat das Recht auf Leben, \
        Freiheit und Sicherheit der Person. Niemand darf in Sklaverei oder Leibeigenschaft gehalten werden. \
        Jeder hat das Recht auf Gedanken-, Gewissens- und Religionsfreiheit. Jeder hat Anspruch auf die in \
        dieser Erklärung verkündeten Rechte und Freiheiten ohne irgendeinen Unterschied.
        """
    private static let french = """
        Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et \
        de conscience et doivent agir les uns envers les autres dans un esprit de fraternité. Tout individu a \
        droit à la vie, à la liberté et à la sûreté de sa personne. Nul ne sera tenu en esclavage ni en \
        servitude. Toute personne a droit à la liberté de pensée, de conscience et de religion. Chacun peut \
        se prévaloir de tous les droits et de toutes les libertés proclamés dans la présente Déclaration.
        """
    private static let russian = """
        Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и \
        совестью и должны поступать в отношении друг друга в духе братства. Каждый человек имеет право на \
        жизнь, на свободу и на личную неприкосновенность. Никто не должен содержаться в рабстве.
        """

    private static func model() throws -> LanguageModel {
        try LanguageModel.train([
            ("fr", Array(french.utf8)), ("en", Array(english.utf8)), ("de", Array(german.utf8)),
            ("ru", Array(russian.utf8)),
        ])
    }

    private static let unseen = [
        ("en", "Everyone has the right to recognition everywhere as a person before the law."),
        ("de", "Jeder hat das Recht, überall als rechtsfähig anerkannt zu werden."),
        ("fr", "Chacun a le droit à la reconnaissance en tous lieux de sa personnalité juridique."),
        ("ru", "Каждый человек имеет право на признание его правосубъектности."),
    ]

    @Test func unseenSentences() throws {
        let model = try Self.model()
        #expect(model.languages == ["de", "en", "fr", "ru"])
        for (language, sentence) in Self.unseen {
            let guess = try #require(model.identify(Array(sentence.utf8)))
            #expect(guess.language == language)
            #expect(model.languages[guess.number] == language)
            #expect(guess.confidence > 0.65)
            // The case does not matter.
            #expect(model.identify(Array(sentence.uppercased().utf8))?.language == language)
            // Nor does a long text's length.
            let long = String(repeating: sentence + "\n", count: 200)
            #expect(model.identify(Array(long.utf8))?.language == language)
        }
        // With its letters in another order a sentence is in no language.
        let shuffled = "zxqj vvkw qqzt xjzk wwqx zzxv kqjx xxzq"
        #expect((model.identify(Array(shuffled.utf8))?.confidence ?? 0) < 0.65)
        #expect((model.identify(Array("這是一個句子，沒有人認識".utf8))?.confidence ?? 0) < 0.65)
        #expect(model.identify(Array("123 456 — !".utf8)) == nil)
        #expect(model.identify([]) == nil)
    }

    @Test func savedAndRead() throws {
        let model = try Self.model()
        let bytes = model.encoded()
        #expect(try LanguageModel(bytes, path: "model") == model)
        #expect(try Self.model().encoded() == bytes)
        let file = try TemporaryFile("old")
        try model.save(to: file.path)
        #expect(try LanguageModel(path: file.path) == model)
    }

    @Test func faultyFiles() throws {
        let bytes = try LanguageModel.train([("en", Array(Self.english.utf8))], bucketBits: 10)
            .encoded()
        func fails(_ bytes: [UInt8]) -> Bool {
            do {
                _ = try LanguageModel(bytes, path: "model")
                return false
            } catch { return error.kind == .corrupt && error.message.hasPrefix("model: expected ") }
        }
        #expect(!fails(bytes))
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1 << UInt8(place % 8)
            #expect(fails(changed))
        }
        for count in [0, 7, 8, 23, 27, 100, bytes.count - 1] {
            #expect(fails(Array(bytes.prefix(count))))
        }
        #expect(fails(bytes + [0]))
        // Sizes that would ask for more than there is, under a right checksum.
        for (place, value) in [
            (12, UInt8(30)), (16, 255), (16, 0), (20, 255), (23, 255), (19, 255),
        ] {
            var changed = Array(bytes.dropLast(4))
            changed[place] = value
            let checksum = CRC32C.checksum(of: changed)
            for shift in [0, 8, 16, 24] {
                changed.append(UInt8(truncatingIfNeeded: checksum >> UInt32(shift)))
            }
            #expect(fails(changed))
        }
    }

    @Test func faultyTraining() {
        #expect(throws: DatasetError.self) { try LanguageModel.train([]) }
        #expect(throws: DatasetError.self) { try LanguageModel.train([("en", Array("12".utf8))]) }
        #expect(throws: DatasetError.self) { try LanguageModel.train([("e n", Array("ab".utf8))]) }
    }

    @Test func allowedLanguages() throws {
        let file = try TemporaryFile("")
        try Self.model().save(to: file.path)
        func verdict(_ text: String, _ languages: [String], _ confidence: Double = 0.65) throws
            -> Verdict
        {
            try Cleaned(text) {
                $0.languageModel = file.path
                $0.languages = languages
                $0.minimumLanguageConfidence = confidence
            }.verdict
        }
        for (language, sentence) in Self.unseen {
            #expect(try verdict(sentence, [language]) == .keep)
            #expect(try verdict(sentence, []) == .keep)
            let others = Self.unseen.map(\.0).filter { $0 != language }
            #expect(try verdict(sentence, others) == .drop(.languageNotAllowed))
            #expect(try verdict(sentence, [language], 1.01) == .drop(.languageUncertain))
        }
        #expect(try verdict("123", ["en"], 0) == .drop(.languageUncertain))
        #expect(throws: DatasetError.self) { try verdict("a", ["tlh"]) }
    }
}
