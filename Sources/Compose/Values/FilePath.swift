/// Paths as text; nothing looks at a disk.
enum FilePath {
    /// Without `.`, `..` and doubled slashes, as far as the text alone tells.
    static func clean(_ path: String) -> String {
        let isAbsolute = path.hasPrefix("/")
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." {
                if let last = parts.last, last != ".." {
                    parts.removeLast()
                } else if !isAbsolute {
                    parts.append(part)
                }
            } else {
                parts.append(part)
            }
        }
        let joined = parts.joined(separator: "/")
        if isAbsolute { return "/" + joined }
        return joined.isEmpty ? "." : joined
    }

    static func join(_ directory: String, _ path: String) -> String {
        path.isEmpty ? clean(directory) : clean(directory + "/" + path)
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : clean(String(path[..<slash]))
    }

    /// `~` becomes the home directory, a relative path is taken from a directory, an absolute one stays as it is.
    static func resolve(_ path: String, from directory: String, home: String) -> String {
        if path == "~" { return home }
        if path.hasPrefix("~/") { return home + path.dropFirst() }
        return path.hasPrefix("/") ? path : join(directory, path)
    }

    /// Whether a path lies in a directory or below it, by its text.
    static func isInside(_ path: String, _ directory: String) -> Bool {
        let (path, directory) = (clean(path), clean(directory))
        if directory == "/" { return path.hasPrefix("/") }
        return path == directory || path.hasPrefix(directory + "/")
    }
}
