import Glibc
import LibCrypto

/// Runs a shell command with `input` in a file that `$IN` names; gives what it printed and how it ended.
func shell(_ command: String, files: [String: [UInt8]] = [:]) throws -> (output: String, status: Int32) {
    let folder = "/tmp/libcrypto-test-\(getpid())-\(SecureRandom.bytes(6).map { String($0) }.joined())"
    guard mkdir(folder, 0o700) == 0 else { throw ShellError(text: "mkdir \(folder)") }
    defer { _ = popenText("rm -rf \(folder)") }
    for (name, bytes) in files {
        guard let file = fopen("\(folder)/\(name)", "w") else { throw ShellError(text: "fopen \(name)") }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
    return popenText("cd \(folder) && { \(command) ; } 2>&1")
}

struct ShellError: Error { var text: String }

private func popenText(_ command: String) -> (output: String, status: Int32) {
    guard let pipe = popen(command, "r") else { return ("", -1) }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        if count == 0 { break }
        output += buffer.prefix(count)
    }
    let status = pclose(pipe)
    return (String(decoding: output, as: UTF8.self), status >> 8 & 0xFF)
}

/// The bytes that hexadecimal digits stand for; spaces are ignored.
func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = hexadecimal.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
