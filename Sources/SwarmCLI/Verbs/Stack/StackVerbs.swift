import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl stack …`.
enum StackVerbs {
    static let command = Command(
        "stack", "Manage Swarm stacks",
        children: [
            config, deploy, diff, history, list, logs, plan, processes, remove, rollback, services,
        ])

    static let config = Command(
        "config", "Output the final config file, after doing merges and interpolations",
        flags: StackSource.flags + [
            Flag("skip-interpolation", .bool, "Skip interpolation and output only merged config")
        ]
    ) { invocation in
        let project = try StackSource.project(
            invocation, interpolates: !invocation.isOn("skip-interpolation"))
        invocation.console.write(project.rendered)
    }

    static let plan = Command(
        "plan", "Show what deploying a stack would change; ends with status 2 if anything",
        usage: "[OPTIONS] [STACK]",
        arguments: .atMost(1),
        flags: StackSource.flags + StackIntent.flags + [
            StackIntent.formatFlag,
            Flag("quiet", short: "q", .bool, "Do not warn of images whose digest cannot be found out"),
        ]
    ) { invocation in
        try await StackIntent.deploying(invocation).show(invocation)
    }

    static let deploy = Command(
        "deploy", "Deploy a new stack or update an existing stack", usage: "[OPTIONS] [STACK]",
        arguments: .atMost(1),
        flags: StackSource.flags + StackIntent.flags + StackDeployment.flags + [
            StackIntent.formatFlag,
            Flag("dry-run", .bool, "Only show what would change, as `stack plan` does"),
        ]
    ) { invocation in
        let intent = try await StackIntent.deploying(invocation)
        guard !invocation.isOn("dry-run") else { return try intent.show(invocation) }
        var deployment = try StackDeployment(intent, invocation)
        try await deployment.run()
    }.aliased("up")

    static let list = Command("ls", "List stacks", flags: [ListFlags.format]) { invocation in
        let services = try await invocation.client.services(filters: [
            (key: "label", value: StackLabel.namespace)
        ])
        let byStack = Dictionary(grouping: services) { $0.spec.labels?[StackLabel.namespace] ?? "" }
        invocation.console.write(
            try listing(byStack.mapValues(\.count)).render(format: invocation.flag("format")))
    }.aliased("list")

    static func listing(_ counts: [String: Int]) -> Listing {
        var listing = Listing(
            columns: [Column("Name", "NAME"), Column("Services", "SERVICES")], shown: ["Name", "Services"])
        listing.rows = counts.sorted { NaturalOrder.precedes($0.key, $1.key) }.map { name, count in
            ["Name": .string(name), "Services": .string(String(count))]
        }
        return listing
    }

    static let services = Command(
        "services", "List the services in the stack", usage: "[OPTIONS] STACK", arguments: .exactly(1),
        flags: [ListFlags.filter, ListFlags.format, ListFlags.quiet]
    ) { invocation in
        let stack = invocation.arguments[0]
        let services = try await invocation.client.services(
            filters: invocation.filters + [label(stack)], status: !invocation.isOn("quiet"))
        guard !services.isEmpty else {
            return invocation.console.complain("Nothing found in stack: \(stack)")
        }
        invocation.console.write(
            try ServiceListing.listing(services).render(
                format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }

    static let processes = Command(
        "ps", "List the tasks in the stack", usage: "[OPTIONS] STACK", arguments: .exactly(1),
        flags: TaskVerbs.listFlags
    ) { invocation in
        let stack = invocation.arguments[0]
        let tasks = try await invocation.client.tasks(filters: invocation.filters + [label(stack)])
        guard !tasks.isEmpty else { throw CommandFailure("nothing found in stack: \(stack)") }
        try await TaskVerbs.show(tasks, invocation)
    }

    static func label(_ stack: String) -> (key: String, value: String) {
        (key: "label", value: "\(StackLabel.namespace)=\(stack)")
    }
}
