import Compose
import FoundationEssentials
import SwarmClient
import SwarmCore
import SwarmModel

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps deployments as configs of the swarm.
enum RevisionKeeping {
    /// Keeps a revision; warns where it cannot be kept, which is no reason not to deploy.
    static func keep(_ revision: Revision, origin: String, _ invocation: Invocation) async throws {
        let encoded = Data(try JSONValue(encoding: revision).compact.utf8)
        guard let name = RevisionConfig.name(stack: revision.stack, number: revision.number),
            encoded.count <= Revision.bytesMax
        else {
            let reason =
                encoded.count > Revision.bytesMax
                ? "it is \(encoded.count) bytes long, and at most \(Revision.bytesMax) are kept"
                : "the stack's name is too long"
            invocation.console.complain(
                "this deployment is not kept as a revision, and `stack rollback` will not come back to it: \(reason)"
            )
            return
        }
        let labels = RevisionConfig.labels(
            stack: revision.stack, number: revision.number, author: author(invocation.environment),
            origin: origin)
        let body = ConfigSpec(name: name, labels: labels, data: encoded.base64EncodedString())
        do throws(SwarmError) {
            _ = try await invocation.client.create("/configs/create", body: body)
        } catch {
            guard error.code == .conflict else { throw error }
            throw CommandFailure(
                "somebody else is deploying stack \(revision.stack) now: look at `swarmctl stack history`, then deploy "
                    + "again to go over that")
        }
    }

    /// `user@host`, as this machine knows them.
    static func author(_ environment: [String: String]) -> String {
        let names = ["SUDO_USER", "USER", "LOGNAME"].compactMap { environment[$0] }.filter { !$0.isEmpty }
        var buffer = [CChar](repeating: 0, count: Int(HOST_NAME_MAX) + 1)
        let isKnown = unsafe gethostname(&buffer, buffer.count - 1) == 0
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let host = isKnown ? String(decoding: bytes, as: UTF8.self) : "unknown"
        return "\(names.first ?? "uid \(getuid())")@\(host)"
    }
}

/// Removes what deployments leave behind: revisions beyond those that are kept, then versions that nothing needs.
enum StackCleanup {
    static func run(_ stack: String, _ client: EngineClient) async throws {
        let snapshot = try await StackSnapshot.read(stack, client)
        let old = snapshot.revisions.dropLast(Revision.keptMax)
        for record in old { try await remove("config", record.config.id, client) }
        let empty = StackNeeds(services: [], tasks: [], revisions: [])
        // The common case has no other version than the newest, and asks nothing more.
        let candidates =
            StackVersions.superseded(secrets: snapshot.state.secrets, stack, needs: empty).count
            + StackVersions.superseded(configs: snapshot.state.configs, stack, needs: empty).count
        guard candidates > 0 else { return }
        let needs = StackNeeds(
            services: try await client.services(), tasks: try await client.tasks(),
            revisions: snapshot.revisions.suffix(Revision.keptMax).map(\.revision))
        for secret in StackVersions.superseded(secrets: snapshot.state.secrets, stack, needs: needs) {
            try await remove("secret", secret.id, client)
        }
        for config in StackVersions.superseded(configs: snapshot.state.configs, stack, needs: needs) {
            try await remove("config", config.id, client)
        }
    }

    /// Somebody may have taken it into use, or away, in this moment: the next deployment looks again.
    private static func remove(_ kind: String, _ id: String, _ client: EngineClient) async throws {
        do throws(SwarmError) {
            try await client.remove(kind, id)
        } catch {
            guard [.notFound, .invalidArgument, .conflict].contains(error.code) else { throw error }
        }
    }
}
