package import Compose
import FoundationEssentials
import SwarmClient
import SwarmCore
package import SwarmModel

/// A deployment that is kept, with the config that keeps it.
package struct RevisionRecord: Sendable {
    package var revision: Revision
    package var config: Config

    var author: String { config.spec.labels?[StackLabel.author] ?? "" }
    var origin: String { config.spec.labels?[StackLabel.origin] ?? "" }

    /// Nil for configs that are no revision, or none that this program can read.
    package init?(_ config: Config) {
        guard let number = RevisionConfig.number(config), let text = config.spec.data,
            let data = Data(base64Encoded: text)
        else { return nil }
        // A revision of a later program is left alone: not listed, not rolled back to, not dropped.
        guard var revision = try? JSONDecoder().decode(Revision.self, from: data) else { return nil }
        revision.number = number
        (self.revision, self.config) = (revision, config)
    }
}

/// What the engine has of a stack.
package struct StackSnapshot: Sendable {
    /// Networks, secrets and configs of the whole swarm, services of the stack.
    package var state: StackState
    /// The oldest first.
    package var revisions: [RevisionRecord]

    /// Reads all of it side by side.
    static func read(_ stack: String, _ client: EngineClient) async throws -> StackSnapshot {
        let label = [(key: "label", value: "\(StackLabel.namespace)=\(stack)")]
        async let networks = client.networks(filters: [(key: "scope", value: "swarm")])
        async let secrets = client.secrets()
        async let configs = client.configs()
        async let own = client.configs(filters: label)
        async let services = client.services(filters: label)
        let ours = try await own
        let known = Set(ours.map(\.id))
        let state = StackState(
            networks: try await networks.map(\.network), secrets: try await secrets,
            configs: ours + (try await configs.filter { !known.contains($0.id) }),
            services: try await services)
        let revisions = ours.compactMap { RevisionRecord($0) }.sorted {
            $0.revision.number < $1.revision.number
        }
        return StackSnapshot(state: state, revisions: revisions)
    }
}

extension NetworkSummary {
    /// As the swarm's object would be, as far as the API tells.
    var network: Network {
        var spec = NetworkSpec(name: name, labels: labels, isInternal: isInternal, attachable: attachable)
        spec.driverConfiguration = Driver(name: driver, options: options)
        spec.ipv6Enabled = ipv6
        spec.ingress = ingress
        spec.scope = scope
        let pools = (ipam?.config ?? []).map {
            IPAMConfig(
                subnet: $0.Subnet, range: $0.IPRange, gateway: $0.Gateway,
                auxiliaryAddresses: $0.AuxiliaryAddresses)
        }
        spec.ipamOptions = IPAM(driver: Driver(name: ipam?.driver), configs: pools.isEmpty ? nil : pools)
        return Network(id: id, spec: spec)
    }
}

extension NetworkSpec {
    /// The request that makes this network.
    var creation: NetworkCreation {
        let pools = (ipamOptions?.configs ?? []).map {
            NetworkCreation.AddressRange(
                subnet: $0.subnet, range: $0.range, gateway: $0.gateway, auxiliary: $0.auxiliaryAddresses)
        }
        let addressing = NetworkCreation.Addressing(
            driver: ipamOptions?.driver?.name.flatMap { $0.isEmpty ? nil : $0 } ?? "default",
            options: ipamOptions?.driver?.options ?? [:], ranges: pools)
        var body = NetworkCreation(
            name: name, driver: driverConfiguration?.name ?? "overlay", addressing: addressing)
        body.Options = driverConfiguration?.options ?? [:]
        body.Labels = labels ?? [:]
        body.Internal = isInternal ?? false
        body.Attachable = attachable ?? false
        body.EnableIPv6 = ipv6Enabled
        return body
    }
}

/// Finds out which of the swarm's secrets have the content that is wanted, which no list tells.
enum SecretComparison {
    static func same(
        _ specs: StackSpecs, _ state: StackState, _ invocation: Invocation
    ) async throws -> Set<ObjectID> {
        var same: Set<ObjectID> = []
        for spec in specs.secrets {
            guard let data = spec.data else { continue }
            for version in StackVersions.secrets(of: spec.name, specs.namespace, state).reversed() {
                guard version.spec.templating == spec.templating, version.spec.driver == nil else { continue }
                do throws(SwarmError) {
                    guard try await invocation.client.secret(version.id, holds: data) else { continue }
                } catch {
                    guard error.code == .notFound else { throw error }
                    // Any other engine than ours: what is there counts, as it does for the Docker client.
                    invocation.console.complain(
                        "secret \(spec.name): this engine cannot tell whether its content has changed; it is kept"
                    )
                }
                same.insert(version.id)
                break
            }
        }
        return same
    }
}
