import SwarmClient
import SwarmCore

/// `swarmctl completion SHELL`, and the hidden verb that its scripts call at every press of the key.
enum CompletionVerbs {
    static let script = Command(
        "completion", "Print a script that lets a shell complete command lines", usage: "bash|zsh|fish",
        arguments: .exactly(1)
    ) { invocation in
        guard let script = CompletionScript(rawValue: invocation.arguments[0]) else {
            throw CommandFailure(
                "there is no completion for '\(invocation.arguments[0])': the shells are bash, zsh and fish")
        }
        invocation.console.write(script.text)
    }

    static let candidates = Command(
        "__complete", "Print what the last word of a command line could become", usage: "-- WORD...",
        arguments: .any
    ) { invocation in
        let completion = Completion(of: invocation.arguments, in: SwarmCommand.root)
        var names: [Noun: [String]] = [:]
        if !completion.nouns.isEmpty {
            let client = try SwarmCommand.client(completion.globals, invocation.environment)
            for noun in completion.nouns { names[noun] = await CompletionNames.load(noun, client) }
            await client.shutDown()
        }
        if completion.offersFiles { invocation.console.print(":files") }
        if !completion.suffix.isEmpty { invocation.console.print(":open") }
        for candidate in completion.candidates(names: { names[$0] ?? [] }) {
            invocation.console.print("\(candidate.text)\t\(candidate.summary)")
        }
    }.hidden()
}
