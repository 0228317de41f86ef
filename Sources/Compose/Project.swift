/// What stack files say, with everything resolved: variables, aliases, extensions, includes, merges, short forms.
package struct Project: Sendable {
    /// In canonical form; see `Shape`.
    package var document: Value
    package var dialect: Dialect
    /// The environment, with what `.env` adds to it; configs and secrets may take their content from it.
    package var variables: [String: String]
    package var warnings: [Diagnostic]

    /// The file's own `name`.
    package var name: String? { document["name"]?.string }

    /// The project as `docker stack config` prints it.
    package var rendered: String { StackWriter.write(document, dialect: dialect) }
}
