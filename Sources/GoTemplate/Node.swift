/// Where a node stands in the source, and how it was written: what an error points at.
struct Place: Sendable {
    var position: Int
    var end: Int
}

/// A statement of a template.
indirect enum Statement: Sendable {
    case text(String)
    case action(Pipeline)
    case condition(Branch)
    case with(Branch)
    case range(Branch)
    case leaveLoop
    case nextRound
}

/// `{{if}}`, `{{with}}` or `{{range}}` with both its bodies.
struct Branch: Sendable {
    var pipeline: Pipeline
    var body: [Statement]
    var otherwise: [Statement]
}

/// Commands, each fed with the result of the one before, and the variables that take the last one's.
struct Pipeline: Sendable {
    var variables: [String] = []
    /// `=` instead of `:=`.
    var isAssignment = false
    var commands: [Command] = []
    var place: Place
}

struct Command: Sendable {
    var operands: [Operand]
    var place: Place
}

struct Operand: Sendable {
    indirect enum Kind: Sendable {
        case literal(TemplateValue)
        case null
        case dot
        /// `.A.B`, from the dot.
        case field([String])
        /// `$x.A`, from a variable.
        case variable(String, [String])
        case function(String)
        case pipeline(Pipeline)
        /// `(...).A`
        case chain(Operand, [String])
    }
    var kind: Kind
    var place: Place
}
