import SwarmClient
import SwarmCore
package import SwarmModel

/// `service ls`.
package enum ServiceListing {
    package static func listing(_ services: [Service]) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "ID"), Column("Name", "NAME"), Column("Mode", "MODE"),
                Column("Replicas", "REPLICAS"),
                Column("Image", "IMAGE"), Column("Ports", "PORTS"),
            ], shown: ["ID", "Name", "Mode", "Replicas", "Image", "Ports"])
        let sorted = services.sorted { NaturalOrder.precedes($0.spec.name, $1.spec.name) }
        listing.rows = sorted.map { service in
            [
                "ID": .string(service.id.shortID), "Name": .string(service.spec.name),
                "Mode": .string(mode(service.spec.mode)), "Replicas": .string(replicas(service)),
                "Image": .string(image(service.spec.taskTemplate.containerSpec?.image ?? "")),
                "Ports": .string(ports(service.endpoint.ports ?? [])),
            ]
        }
        return listing
    }

    package static func mode(_ mode: ServiceMode) -> String {
        if mode.global != nil { return "global" }
        if mode.replicatedJob != nil { return "replicated job" }
        return mode.globalJob != nil ? "global job" : "replicated"
    }

    static func replicas(_ service: Service) -> String {
        let status = service.serviceStatus
        let (running, desired) = (status?.runningTasks ?? 0, status?.desiredTasks ?? 0)
        if service.spec.mode.replicatedJob != nil {
            let concurrent = min(desired, service.spec.maxConcurrent)
            return
                "\(running)/\(concurrent) (\(status?.completedTasks ?? 0)/\(service.spec.totalCompletions) completed)"
        }
        if service.spec.mode.globalJob != nil {
            let completed = status?.completedTasks ?? 0
            return "\(running)/\(desired) (\(completed)/\(desired + completed) completed)"
        }
        let limit = service.spec.taskTemplate.maxReplicasPerNode
        return "\(running)/\(desired)" + (limit > 0 ? " (max \(limit) per node)" : "")
    }

    /// Without the digest when there is a tag.
    package static func image(_ text: String) -> String {
        guard let reference = ImageReference(text), reference.digest != nil, let tag = reference.tag else {
            return text
        }
        return "\(reference.familiarName):\(tag)"
    }

    /// Ingress ports, neighbours merged: `*:8080-8081->80-81/tcp`.
    package static func ports(_ ports: [PortConfig]) -> String {
        struct Run {
            var published: ClosedRange<UInt32>
            var target: ClosedRange<UInt32>
            var proto: String
        }
        let sorted = ports.filter { !$0.isHostMode }.sorted {
            ($0.effectiveProtocol, $0.publishedPort ?? 0) < ($1.effectiveProtocol, $1.publishedPort ?? 0)
        }
        var runs: [Run] = []
        for port in sorted {
            let (published, target) = (port.publishedPort ?? 0, port.targetPort ?? 0)
            if let last = runs.last, last.proto == port.effectiveProtocol,
                published == last.published.upperBound + 1,
                target == last.target.upperBound + 1
            {
                runs[runs.count - 1].published = last.published.lowerBound...published
                runs[runs.count - 1].target = last.target.lowerBound...target
            } else {
                runs.append(
                    Run(
                        published: published...published, target: target...target,
                        proto: port.effectiveProtocol))
            }
        }
        func text(_ range: ClosedRange<UInt32>) -> String {
            range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }
        return runs.map { "*:\(text($0.published))->\(text($0.target))/\($0.proto)" }.joined(separator: ", ")
    }
}
