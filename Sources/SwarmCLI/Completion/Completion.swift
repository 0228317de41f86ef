/// What the last word of an unfinished command line could become, told by the declarations of its verb.
///
/// The usage line says what arguments are (`NODE [NODE...]`), flags say what values they take. Nothing is asked of an
/// engine here: names are a kind, and whoever prints candidates looks them up.
package struct Completion: Sendable {
    /// One way to go on.
    package struct Candidate: Sendable, Equatable, Comparable {
        package var text: String
        package var summary: String

        package init(_ text: String, _ summary: String = "") { (self.text, self.summary) = (text, summary) }

        package static func < (left: Candidate, right: Candidate) -> Bool { left.text < right.text }
    }

    /// What of the last word stays as it is: `--network=`, `source=`.
    package var kept = ""
    /// What every candidate begins with, after `kept`.
    package var typed = ""
    package var words: [Candidate] = []
    package var nouns: [Noun] = []
    /// Names that the line has already.
    package var taken: Set<String> = []
    package var offersFiles = false
    /// What follows a name in the same word: `=` of `SERVICE=REPLICAS`.
    package var suffix = ""
    /// The flags that stand before the verb: where the engine is.
    package var globals = ParsedFlags()

    package init() {}

    /// - Parameter words: what stands after the program's name up to the cursor; the last may be empty or half a word.
    package init(of words: [String], in root: Command) {
        typed = words.last ?? ""
        var reading = FlagReading(root)
        reading.read(words.dropLast())
        globals = reading.parsed
        var command = root
        while command.action == nil {
            guard let word = reading.arguments.first else {
                offerVerbs(of: command, reading)
                return
            }
            guard let child = command.child(word) else { return }
            let rest = reading.arguments.dropFirst()
            command = child
            reading = FlagReading(child)
            // Nouns have no flags of their own; what follows them is a verb.
            if child.action == nil { reading.arguments = Array(rest) } else { reading.read(rest) }
        }
        if let flag = reading.awaiting {
            offerValues(of: flag)
        } else if typed.hasPrefix("-"), typed != "-" || !command.flags.isEmpty, !reading.hasEnded {
            offerFlags(of: command, reading)
        } else {
            offerArgument(of: command, reading.arguments)
        }
    }

    private mutating func offerVerbs(of command: Command, _ reading: FlagReading) {
        if let flag = reading.awaiting { return offerValues(of: flag) }
        if typed.hasPrefix("-") { return offerFlags(of: command, reading) }
        // A first letter also finds what `--help` keeps short by leaving out, but nothing that is for programs.
        let found = command.children.filter {
            (!$0.isHidden || !typed.isEmpty) && $0.name.hasPrefix(typed) && !$0.name.hasPrefix("_")
        }
        words = found.map { Candidate($0.name, $0.summary) }.sorted()
    }

    private mutating func offerFlags(of command: Command, _ reading: FlagReading) {
        if let equals = typed.firstIndex(of: "="), typed.hasPrefix("--") {
            let name = typed[..<equals].dropFirst(2)
            guard let flag = command.flags.first(where: { $0.name == name }) else { return }
            kept = String(typed[...equals])
            typed = String(typed[typed.index(after: equals)...])
            return offerValues(of: flag)
        }
        let usable = command.flags.filter {
            !$0.isHidden && ($0.kind.isRepeatable || !reading.parsed.isSet($0.name))
        }
        let all = usable.map { Candidate("--" + $0.name, $0.summary) } + [Candidate("--help", "Print usage")]
        words = all.filter { $0.text.hasPrefix(typed) }.sorted()
    }

    private mutating func offerValues(of flag: Flag) {
        switch flag.values {
        case .words(let values): words = values.filter { $0.hasPrefix(typed) }.map { Candidate($0) }.sorted()
        case .files: offersFiles = true
        case .names(let noun):
            nouns = [noun]
            // `source=NAME,target=PATH`: only the name is looked up.
            if let comma = typed.lastIndex(of: ",") { keep(through: comma) }
            if let equals = typed.firstIndex(of: "=") {
                guard ["source", "src", "name"].contains(String(typed[..<equals])) else {
                    nouns = []
                    return
                }
                keep(through: equals)
            } else if !kept.isEmpty, kept.hasSuffix(",") {
                nouns = []
            }
        case nil: break
        }
    }

    private mutating func keep(through index: String.Index) {
        kept += typed[...index]
        typed = String(typed[typed.index(after: index)...])
    }

    private mutating func offerArgument(of command: Command, _ given: [String]) {
        guard given.count < command.arguments.range.upperBound else { return }
        let places = UsagePlace.places(command.usage)
        guard let place = given.count < places.count ? places[given.count] : places.last(where: \.isRepeated) else {
            return
        }
        // What is to be made has no name yet.
        nouns = command.name == "create" ? place.nouns.filter { $0 == .image } : place.nouns
        // Where both will do, a task goes by its identifier, which nobody types.
        if nouns == [.service, .task] { nouns = [.service] }
        words = place.words.filter { $0.hasPrefix(typed) }.map { Candidate($0) }
        offersFiles = place.isFile
        suffix = place.suffix
        if place.isRepeated {
            taken = Set(given.map { suffix.isEmpty ? $0 : String($0.prefix { $0 != "=" }) })
        }
    }

    /// The candidates, once the names of every kind are known.
    ///
    /// - Parameter names: of one kind, in any order.
    package func candidates(names: (Noun) -> [String]) -> [Candidate] {
        let found = nouns.flatMap(names).filter { $0.hasPrefix(typed) && !taken.contains($0) }
        return (words + Set(found).sorted().map { Candidate($0 + suffix) }).map {
            Candidate(kept + $0.text, $0.summary)
        }
    }
}

/// What has names that an engine knows.
package enum Noun: String, Sendable, CaseIterable {
    case service = "SERVICE"
    case node = "NODE"
    case task = "TASK"
    case network = "NETWORK"
    case secret = "SECRET"
    case config = "CONFIG"
    case stack = "STACK"
    case container = "CONTAINER"
    case image = "IMAGE"
    case volume = "VOLUME"
}

/// What a flag's value can be, beyond any text.
package enum FlagValues: Sendable, Equatable {
    case words([String])
    case names(Noun)
    case files
}

/// One place of a usage line, such as `[NODE...]`, `file|-` or `SERVICE=REPLICAS`.
struct UsagePlace: Equatable {
    var nouns: [Noun] = []
    var words: [String] = []
    var isFile = false
    var isRepeated = false
    var suffix = ""

    static func places(_ usage: String) -> [UsagePlace] {
        usage.split(separator: " ").filter { $0 != "[OPTIONS]" }.map { UsagePlace(String($0)) }
    }

    init(_ text: String) {
        isRepeated = text.hasSuffix("...]") || text.hasSuffix("...")
        // A tag or path after a name is part of the same word: `IMAGE[:TAG]`.
        let bare = text.replacing("[:TAG]", with: "").replacing("[:TAG|@DIGEST]", with: "")
            .filter { !"[]().".contains($0) }
        for choice in bare.split(separator: "|").map(String.init) {
            let name = choice.prefix { $0 != "=" && $0 != ":" }
            if let noun = Noun(rawValue: name.hasPrefix("SOURCE_") ? String(name.dropFirst(7)) : String(name)) {
                nouns.append(noun)
                suffix = name.count == choice.count ? "" : String(choice.dropFirst(name.count).prefix(1))
            } else if choice == "REPOSITORY" {
                nouns.append(.image)
            } else if choice.lowercased() == "file" || choice.hasSuffix("PATH") {
                isFile = true
            } else if choice != "-", choice == choice.lowercased(), !text.hasPrefix("[") || text.hasSuffix("]") {
                words.append(choice)
            }
        }
    }
}

/// What the flags of a half-written command line say, as far as it can be understood.
private struct FlagReading {
    let flags: [Flag]
    let isInterspersed: Bool
    var parsed = ParsedFlags()
    var arguments: [String] = []
    /// The flag whose value comes next.
    var awaiting: Flag?
    /// Whether no flag can follow.
    var hasEnded = false

    init(_ command: Command) { (flags, isInterspersed) = (command.flags, command.isInterspersed) }

    mutating func read(_ words: some Sequence<String>) {
        for word in words {
            if let flag = awaiting {
                parsed.set(flag.name, word)
                awaiting = nil
            } else if hasEnded || !word.hasPrefix("-") || word == "-" {
                arguments.append(word)
                if !isInterspersed { hasEnded = true }
            } else if word == "--" {
                hasEnded = true
            } else if word.hasPrefix("--") {
                readLong(word.dropFirst(2))
            } else {
                readShort(word.dropFirst())
            }
        }
    }

    private mutating func readLong(_ body: Substring) {
        let name = body.prefix { $0 != "=" }
        guard let flag = flags.first(where: { $0.name == name }) else { return }
        if name.count < body.count {
            parsed.set(flag.name, String(body.dropFirst(name.count + 1)))
        } else if flag.kind.isSwitch {
            parsed.set(flag.name, "true")
        } else {
            awaiting = flag
        }
    }

    private mutating func readShort(_ letters: Substring) {
        var letters = letters
        while let letter = letters.popFirst() {
            guard let flag = flags.first(where: { $0.short == letter }) else { return }
            if flag.kind.isSwitch {
                parsed.set(flag.name, "true")
                continue
            }
            if letters.isEmpty { awaiting = flag } else { parsed.set(flag.name, String(letters)) }
            return
        }
    }
}

extension Flag {
    /// The first line of what it is for.
    fileprivate var summary: String { usage.split(separator: "\n").first.map(String.init) ?? "" }

    /// The values that its declaration tells of: by its kind, or by the words that its help quotes.
    package var values: FlagValues? {
        if let offers { return offers }
        if kind.isSwitch { return nil }
        switch kind.typeName {
        case "network": return .names(.network)
        case "secret": return .names(.secret)
        case "config": return .names(.config)
        case "pem-file": return .files
        case "string":
            guard let open = usage.lastIndex(of: "(") else { return nil }
            let quoted = usage[open...].split(separator: "\"", omittingEmptySubsequences: false)
            let words = quoted.enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
            let areWords = words.allSatisfy { word in word.allSatisfy { $0.isLetter || $0 == "-" } }
            return words.count > 1 && areWords ? .words(words) : nil
        default: return nil
        }
    }
}
