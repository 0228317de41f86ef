import FoundationEssentials
import SwarmCore

/// From `user[:group]` to numbers, by the image's own /etc/passwd and /etc/group, as Docker does.
struct UserLookup {
    /// Texts of the image's files; empty when the image has none.
    var passwd: String
    var group: String

    static let idMax: UInt32 = 2_147_483_647

    private struct Account {
        var name: String
        var uid: UInt32
        var gid: UInt32
    }
    private struct Group {
        var name: String
        var gid: UInt32
        var members: [Substring]
    }

    private var accounts: [Account] {
        passwd.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else { return nil }
            return Account(name: String(fields[0]), uid: uid, gid: gid)
        }
    }
    private var groups: [Group] {
        group.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, let gid = UInt32(fields[2]) else { return nil }
            return Group(name: String(fields[0]), gid: gid, members: fields[3].split(separator: ","))
        }
    }

    /// - Parameters:
    ///   - user: `user[:group]`, by name or number; empty means root.
    ///   - groups: further groups by name or number.
    func resolve(_ user: String, groups extra: [String] = []) throws(SwarmError) -> OCISpecification.User {
        let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts.first.flatMap { $0.isEmpty ? nil : $0 } ?? "0"
        let account: Account
        if let number = UInt32(name) {
            try check(number)
            account = accounts.first { $0.uid == number } ?? Account(name: "", uid: number, gid: 0)
        } else if let found = accounts.first(where: { $0.name == name }) {
            account = found
        } else {
            throw SwarmError(.invalidArgument, "unable to find user \(name): no matching entries in passwd file")
        }
        var gid = account.gid
        var additional: [UInt32] = []
        if parts.count == 2, !parts[1].isEmpty {
            gid = try groupNumber(parts[1])
            additional = [gid]
        } else {
            additional = [gid]
            if !account.name.isEmpty {
                for group in self.groups where group.members.contains(Substring(account.name)) && group.gid != gid {
                    additional.append(group.gid)
                }
            }
        }
        for group in extra {
            let number = try groupNumber(group)
            if !additional.contains(number) { additional.append(number) }
        }
        return OCISpecification.User(uid: account.uid, gid: gid, additionalGids: additional)
    }

    private func groupNumber(_ text: String) throws(SwarmError) -> UInt32 {
        if let number = UInt32(text) {
            try check(number)
            return number
        }
        guard let group = groups.first(where: { $0.name == text }) else {
            throw SwarmError(.invalidArgument, "unable to find group \(text): no matching entries in group file")
        }
        return group.gid
    }

    private func check(_ number: UInt32) throws(SwarmError) {
        guard number <= Self.idMax else {
            throw SwarmError(.invalidArgument, "uids and gids must be in range 0-\(Self.idMax)")
        }
    }
}
