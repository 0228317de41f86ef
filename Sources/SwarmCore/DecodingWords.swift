extension DecodingError {
    /// What was wrong and where, for whoever wrote the document: Swift's own description names our types.
    ///
    /// - Parameter whole: what to call the document itself.
    package func words(of whole: String) -> String {
        func at(_ path: [any CodingKey], _ words: String) -> String {
            let path = path.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? words : "\(path): \(words)"
        }
        switch self {
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            return at(context.codingPath, "expected \(Self.kind(type))")
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty
                ? "\(whole) is no JSON text" : at(context.codingPath, context.debugDescription)
        case .keyNotFound(let key, let context):
            let path = (context.codingPath + [key]).map(\.stringValue).joined(separator: ".")
            return "\(path) is missing"
        @unknown default: return "\(whole) is not what was expected"
        }
    }

    /// A type in JSON's words.
    private static func kind(_ type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is any BinaryInteger.Type: "a whole number"
        case is any BinaryFloatingPoint.Type: "a number"
        case is any RangeReplaceableCollection.Type: "a list"
        default: "an object"
        }
    }
}
