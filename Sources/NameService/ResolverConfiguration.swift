/// The parts of `/etc/resolv.conf` that matter to us (resolv.conf(5)).
package struct ResolverConfiguration: Sendable, Equatable {
    package var nameservers: [String]
    package var search: [String]
    package var options: [String]

    /// The address every container asks.
    package static let containerNameserver = "127.0.0.11"

    package init(nameservers: [String] = [], search: [String] = [], options: [String] = []) {
        (self.nameservers, self.search, self.options) = (nameservers, search, options)
    }

    /// Reads a file; unknown lines are skipped, as the C library does.
    package init(parsing text: String) {
        self.init()
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            guard let keyword = words.first, words.count > 1 else { continue }
            switch keyword {
            case "nameserver": nameservers.append(words[1])
            case "search", "domain": search = Array(words.dropFirst())
            case "options": options += words.dropFirst()
            default: continue
            }
        }
    }

    /// The file of a container: asks only us, `ndots:0` unless `options` set their own.
    package static func containerFile(search: [String], options: [String]) -> String {
        let ndots = options.contains { $0.hasPrefix("ndots:") } ? [] : ["ndots:0"]
        var text = "nameserver \(containerNameserver)\n"
        if !search.isEmpty { text += "search \(search.joined(separator: " "))\n" }
        return text + "options \((options + ndots).joined(separator: " "))\n"
    }
}
