package import SwarmCore

/// A secret's name, labels and data.
package struct SecretSpec: Sendable, Hashable, Codable {
    package var name: String
    package var labels: [String: String]?
    /// Base 64.
    package var data: String?
    package var driver: Driver?
    package var templating: Driver?

    package init(
        name: String = "", labels: [String: String]? = nil, data: String? = nil, driver: Driver? = nil,
        templating: Driver? = nil
    ) {
        self.name = name
        self.labels = labels
        self.data = data
        self.driver = driver
        self.templating = templating
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", data = "Data", driver = "Driver",
            templating = "Templating"
    }
}

/// Data that only the containers that need it may see.
package struct Secret: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: SecretSpec

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: SecretSpec = SecretSpec()
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec"
    }

    package var uniqueName: String? { spec.name }
}

/// A config's name, labels and data.
package struct ConfigSpec: Sendable, Hashable, Codable {
    package var name: String
    package var labels: [String: String]?
    /// Base 64.
    package var data: String?
    package var templating: Driver?

    package init(
        name: String = "", labels: [String: String]? = nil, data: String? = nil,
        templating: Driver? = nil
    ) {
        self.name = name
        self.labels = labels
        self.data = data
        self.templating = templating
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", data = "Data", templating = "Templating"
    }
}

/// A file that containers share.
package struct Config: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: ConfigSpec

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: ConfigSpec = ConfigSpec()
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec"
    }

    package var uniqueName: String? { spec.name }
}
