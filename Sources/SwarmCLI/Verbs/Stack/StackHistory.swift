import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl stack history`, `diff` and `rollback`.
extension StackVerbs {
    static let history = Command(
        "history", "List the deployments of a stack that are kept", usage: "[OPTIONS] STACK",
        arguments: .exactly(1),
        flags: [ListFlags.format, ListFlags.quiet]
    ) { invocation in
        let records = try await revisions(invocation.arguments[0], invocation)
        let listing = historyListing(records, now: Timestamp(nanoseconds: WallClock.nanoseconds))
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }

    static func historyListing(_ records: [RevisionRecord], now: Timestamp) -> Listing {
        var listing = Listing(
            columns: [
                Column("Revision", "REVISION"), Column("CreatedAt", "CREATED"), Column("Author", "BY"),
                Column("Origin", "FROM"), Column("Services", "SERVICES"),
            ], shown: ["Revision", "CreatedAt", "Author", "Origin", "Services"], quietKey: "Revision")
        listing.rows = records.reversed().map { record in
            [
                "Revision": .string(String(record.revision.number)),
                "CreatedAt": .string(Age.text(now - record.config.createdAt) + " ago"),
                "Author": .string(record.author), "Origin": .string(record.origin),
                "Services": .string(String(record.revision.services.count)),
            ]
        }
        return listing
    }

    static let diff = Command(
        "diff", "Show what changed between two deployments of a stack",
        usage: "[OPTIONS] STACK [REVISION [REVISION]]",
        arguments: .between(1...3), flags: [StackIntent.formatFlag]
    ) { invocation in
        let stack = invocation.arguments[0]
        let records = try await revisions(stack, invocation)
        let newest = records.last?.revision.number ?? 0
        let numbers = try invocation.arguments.dropFirst().map { try number($0) }
        let from = numbers.first ?? records.dropLast().last?.revision.number ?? newest
        let old = try find(from, records, stack)
        let new = try find(numbers.count > 1 ? numbers[1] : newest, records, stack)
        let plan = old.revision.plan(to: new.revision)
        if invocation.flag("format") == "json" {
            return invocation.console.print(try JSONValue(encoding: plan).compact)
        }
        for line in plan.lines { invocation.console.print(line) }
        if plan.changes.isEmpty {
            invocation.console.print(
                "Revisions \(old.revision.number) and \(new.revision.number) of stack \(stack) are the same.")
        }
    }

    static let rollback = Command(
        "rollback", "Bring a whole stack back to an earlier deployment", usage: "[OPTIONS] STACK",
        arguments: .exactly(1),
        flags: [
            Flag(
                "to", .uint, "The deployment, as `stack history` numbers them",
                default: "the one before the last"),
            Flag("with-registry-auth", .bool, "Send registry authentication details to Swarm agents"),
            Flag("dry-run", .bool, "Only show what would change; ends with status 2 if anything"),
            StackIntent.formatFlag,
        ] + StackDeployment.flags
    ) { invocation in
        let stack = invocation.arguments[0]
        let snapshot = try await StackSnapshot.read(stack, invocation.client)
        let records = snapshot.revisions
        guard !records.isEmpty else { throw nothing(stack) }
        let asked = try invocation.flag("to").map { try number($0) }
        guard let wanted = asked ?? records.dropLast().last?.revision.number else {
            throw CommandFailure("stack \(stack) has been deployed once: there is nothing to go back to")
        }
        let revision = try find(wanted, records, stack).revision
        let missing = revision.missing(from: snapshot.state)
        guard missing.isEmpty else {
            throw CommandFailure(
                "revision \(wanted) of stack \(stack) cannot be deployed: it needs \(missing.joined(separator: ", ")), "
                    + "which somebody has removed")
        }
        let intent = try StackIntent.make(
            revision.specs, snapshot, prune: .everything, origin: "rollback to \(wanted)")
        guard !invocation.isOn("dry-run") else { return try intent.show(invocation) }
        var deployment = try StackDeployment(intent, invocation)
        try await deployment.run()
    }

    private static func revisions(_ stack: String, _ invocation: Invocation) async throws -> [RevisionRecord]
    {
        let configs = try await invocation.client.configs(filters: [label(stack)])
        let records = configs.compactMap { RevisionRecord($0) }.sorted {
            $0.revision.number < $1.revision.number
        }
        guard !records.isEmpty else { throw nothing(stack) }
        return records
    }

    private static func nothing(_ stack: String) -> CommandFailure {
        CommandFailure(
            "no deployment of stack \(stack) is kept: it was not deployed with `swarmctl stack deploy`")
    }

    private static func number(_ text: String) throws(CommandFailure) -> Int {
        guard let number = Int(text), number > 0 else {
            throw CommandFailure("\"\(text)\" is no revision's number")
        }
        return number
    }

    private static func find(
        _ number: Int, _ records: [RevisionRecord], _ stack: String
    ) throws(CommandFailure) -> RevisionRecord {
        if let record = records.first(where: { $0.revision.number == number }) { return record }
        let kept = records.map { String($0.revision.number) }.joined(separator: ", ")
        throw CommandFailure("stack \(stack) has no revision \(number); kept are \(kept)")
    }
}
