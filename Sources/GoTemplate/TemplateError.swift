/// Why a template could not be read or carried out, in the words that Go's users know.
package struct TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Stage: Sendable, Equatable { case parsing, execution }

    package var stage: Stage
    /// For example `template: :1: unexpected "}" in operand`; from a function, just what was wrong.
    package var message: String

    package init(_ message: String, stage: Stage = .execution) {
        (self.stage, self.message) = (stage, message)
    }

    /// What the docker client prints for it.
    package var description: String {
        switch stage {
        case .parsing: "template parsing error: \(message)"
        case .execution: message
        }
    }
}

/// What a template may cost; beyond it there is an error, never a crash or an endless wait.
enum TemplateLimits {
    /// Parentheses and blocks within each other.
    static let nestingDepthMax = 100
    /// Lists and maps within each other, in a value that is printed.
    static let valueDepthMax = 128
    /// Bytes of the output, and of any text that a function makes.
    static let outputBytesMax = 16 << 20
    /// Nodes evaluated in one rendering; ranges within ranges reach it first.
    static let stepsMax = 5_000_000
    /// Columns that a width or precision of `printf` may ask for.
    static let columnsMax = 10_000
}
