import Glibc

/// A line from standard input that a terminal does not show.
enum SecretLine {
    static func read(_ prompt: String, _ console: Console) -> String {
        guard console.isInputTerminal else { return (readLine() ?? "").trimmed }
        console.write(prompt)
        console.flush()
        var settings = termios()
        guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return (readLine() ?? "").trimmed }
        let before = settings
        settings.c_lflag &= ~tcflag_t(ECHO)
        _ = unsafe tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
        defer {
            settings = before
            _ = unsafe tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
            console.print("")
        }
        return (readLine() ?? "").trimmed
    }
}
