import Ports
import SwarmCore
import SwarmNode

/// What the API itself brings about on this node, for those who listen on `GET /events`.
extension EngineRoutes {
    func tell(_ action: String, _ info: ContainerInfo, _ extra: [String: String] = [:]) async {
        var attributes = info.shownLabels.merging(extra) { $1 }
        (attributes["name"], attributes["image"]) = (info.name, info.image)
        await publish("container", action, info.id, attributes)
    }

    /// - Parameter name: how the image is called in the event; Docker gives its identifier once it has no name.
    func tell(_ action: String, image id: String, name: String) async {
        await publish("image", action, id, ["name": name])
    }

    private func publish(_ type: String, _ action: String, _ id: String, _ attributes: [String: String]) async {
        await node.publish(
            SwarmEvent(
                type: type, action: action, actorID: id, attributes: attributes, scope: "local", time: node.now()))
    }
}
