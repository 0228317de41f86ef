/// A key's way from the top of the file.
struct Path: Sendable, CustomStringConvertible {
    private(set) var keys: [String] = []

    init(_ keys: [String] = []) { self.keys = keys }

    func key(_ key: String) -> Path { Path(keys + [key]) }
    func item(_ index: Int) -> Path { Path(keys + [String(index)]) }

    /// `services.web.ports.0`; `(root)` at the top, as Docker says.
    var description: String { keys.isEmpty ? "(root)" : keys.joined(separator: ".") }
}
