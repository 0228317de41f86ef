package import SwarmClient
package import SwarmCore

/// `swarmctl image history`.
extension ImageVerbs {
    static let history = Command(
        "history", "Show the history of an image", usage: "[OPTIONS] IMAGE", arguments: .exactly(1),
        flags: [
            ListFlags.format,
            Flag("human", short: "H", .bool, "Print sizes and dates in human readable format", default: "true"),
            ListFlags.noTruncation, Flag("quiet", short: "q", .bool, "Only show image IDs"),
        ]
    ) { invocation in
        let steps = try await invocation.client.json("/images/\(invocation.arguments[0])/history").elements
        let isHuman = invocation.flag("human") == nil || invocation.isOn("human")
        invocation.console.write(
            try ImageSteps.listing(
                steps, isHuman: isHuman, truncates: !invocation.isOn("no-trunc"),
                now: Timestamp(nanoseconds: WallClock.nanoseconds)
            ).render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }

    static let prune = Pruning.images(all: false).command(
        "Remove unused images", warning: "This will remove all dangling images.", "image",
        flags: [Flag("all", short: "a", .bool, "Remove all unused images, not just dangling ones")])
}

/// How an image was made, newest step first.
package enum ImageSteps {
    /// The longest instruction that is shown without `--no-trunc`.
    static let instructionColumns = 45

    package static func listing(_ steps: [JSONValue], isHuman: Bool, truncates: Bool, now: Timestamp) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "IMAGE"), Column("CreatedSince", "CREATED"), Column("CreatedAt", "CREATED AT"),
                Column("CreatedBy", "CREATED BY"), Column("Size", "SIZE"), Column("Comment", "COMMENT"),
            ], shown: ["ID", isHuman ? "CreatedSince" : "CreatedAt", "CreatedBy", "Size", "Comment"])
        listing.rows = steps.map { step in
            let created = Timestamp(nanoseconds: (step["Created"]?.integer ?? 0) * 1_000_000_000)
            let (id, size) = (step["Id"]?.text ?? "", step["Size"]?.integer ?? 0)
            let instruction = (step["CreatedBy"]?.text ?? "").replacing("\t", with: " ")
            return [
                "ID": .string(truncates ? id.shortID : id), "CreatedSince": .string(Age.text(now - created) + " ago"),
                "CreatedAt": .string(created.description),
                "CreatedBy": .string(truncates ? instruction.ellipsis(instructionColumns) : instruction),
                "Size": .string(isHuman ? Size.human(size) : String(size)),
                "Comment": .string(step["Comment"]?.text ?? ""),
            ]
        }
        return listing
    }
}
