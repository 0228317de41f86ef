import SwarmClient
import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// `swarmctl cp`.
extension ContainerVerbs {
    static let copy = Command(
        "cp", "Copy files/folders between a container and the local filesystem",
        usage: "[OPTIONS] CONTAINER:SRC_PATH|SRC_PATH|- CONTAINER:DEST_PATH|DEST_PATH|-", arguments: .exactly(2),
        flags: [
            Flag("archive", short: "a", .bool, "Archive mode (copy all uid/gid information)"),
            Flag("follow-link", short: "L", .bool, "Always follow symbol link in SRC_PATH"),
            Flag("quiet", short: "q", .bool, "Suppress progress output during copy"),
        ]
    ) { invocation in
        let (source, target) = (CopyPlace(invocation.arguments[0]), CopyPlace(invocation.arguments[1]))
        switch (source.container, target.container) {
        case (nil, nil): throw CommandFailure("must specify at least one container source")
        case (_?, _?): throw CommandFailure("copying between containers is not supported")
        case (let container?, nil): try await copy(from: container, source.path, to: target.path, invocation)
        case (nil, let container?): try await copy(source.path, to: container, target.path, invocation)
        }
    }

    /// How often a link in a container is followed.
    private static let linksMax = 16

    private static func copy(
        from container: String, _ path: String, to target: String, _ invocation: Invocation
    ) async throws {
        let client = invocation.client
        var path = path
        if invocation.isOn("follow-link") {
            for _ in 0..<linksMax {
                let status = try await client.archive(.head, of: container, path).status
                guard CopyPlace.isLink(status), let link = status["linkTarget"]?.text else { break }
                path = link.hasPrefix("/") ? link : CopyPlace.parent(path) + "/" + link
            }
        }
        let (status, archive) = try await client.archive(.get, of: container, path)
        guard target != "-" else {
            for try await part in archive { invocation.console.write(bytes: part) }
            return
        }
        let isFolder = CopyPlace.isFolder(status)
        var (folder, name): (String, String?)
        switch LocalFile.isFolder(target) {
        case true?:
            // `/.` at the end means what the folder has, not the folder.
            (folder, name) = (target, path.hasSuffix("/.") ? "" : nil)
        case false?:
            guard !isFolder else { throw CommandFailure("cannot copy directory") }
            (folder, name) = (CopyPlace.parent(target), CopyPlace.name(target))
        case nil:
            guard isFolder || !target.hasSuffix("/") else {
                throw CommandFailure("no such directory")
            }
            (folder, name) = (CopyPlace.parent(target), CopyPlace.name(target))
            guard LocalFile.isFolder(folder) == true else {
                throw CommandFailure(
                    "invalid output path: directory \"\(CopyPlace.absolute(folder))\" does not exist")
            }
        }
        var (decoder, sink) = (TarDecoder(), TarSink(into: folder, as: name, keepsOwners: invocation.isOn("archive")))
        for try await part in archive {
            for event in try decoder.receive(part) { try sink.receive(event) }
        }
        sink.finish()
        guard decoder.isWhole else { throw CommandFailure("unexpected EOF: the archive of \(path) is not whole") }
        for name in sink.skipped { invocation.console.complain("not copied, as it is no file: \(name)") }
        tell(sink.sizeBytes, CopyPlace.absolute(target), invocation)
    }

    private static func copy(
        _ path: String, to container: String, _ target: String, _ invocation: Invocation
    ) async throws {
        let client = invocation.client
        // What is not there yet is made, by this name.
        var status = try? await client.archive(.head, of: container, target).status
        var place = target
        for _ in 0..<linksMax {
            guard let found = status, CopyPlace.isLink(found), let link = found["linkTarget"]?.text else { break }
            place = link.hasPrefix("/") ? link : CopyPlace.parent(place) + "/" + link
            status = try? await client.archive(.head, of: container, place).status
        }
        let isFolder = status.map(CopyPlace.isFolder)
        guard path != "-" else {
            guard isFolder == true else {
                throw CommandFailure("destination \"\(container):\(target)\" must be a directory")
            }
            _ = try await client.upload(
                "/containers/\(container)/archive", ["path": place, "noOverwriteDirNonDir": "true"], method: .put,
                contentType: "application/x-tar", from: FileBytes(descriptor: STDIN_FILENO))
            return
        }
        var source = path
        if invocation.isOn("follow-link") || path.hasSuffix("/"), let real = CopyPlace.resolved(path) { source = real }
        guard let isSourceFolder = CopyPlace.localFolder(source) else {
            throw CommandFailure("lstat \(CopyPlace.absolute(path)): no such file or directory")
        }
        var (folder, name) = (place, CopyPlace.name(path))
        switch isFolder {
        case true?: if path.hasSuffix("/.") || path == "." { name = "" }
        case false?, nil:
            guard isFolder == nil || !isSourceFolder else { throw CommandFailure("cannot copy directory") }
            guard isFolder != nil || isSourceFolder || !target.hasSuffix("/") else {
                throw CommandFailure("no such directory")
            }
            (folder, name) = (CopyPlace.parent(place), CopyPlace.name(place))
        }
        let tar = try TarSource(source, named: name, keepsOwners: invocation.isOn("archive"))
        var query: Query = ["path": folder, "noOverwriteDirNonDir": "true"]
        if invocation.isOn("archive") { query.append("copyUIDGID", "true") }
        _ = try await client.upload(
            "/containers/\(container)/archive", query, method: .put, contentType: "application/x-tar", from: tar)
        tell(tar.sizeBytes, "\(container):\(target)", invocation)
    }

    private static func tell(_ bytes: Int64, _ target: String, _ invocation: Invocation) {
        // As Docker's client: only to somebody who watches.
        guard !invocation.isOn("quiet"), isatty(STDERR_FILENO) == 1 else { return }
        invocation.console.complain("Successfully copied \(Size.human(bytes)) to \(target)")
    }
}

/// One end of a copy: `CONTAINER:PATH`, or a path of this machine.
struct CopyPlace {
    var container: String?
    var path: String

    init(_ text: String) {
        path = text
        // `./a:b` and `/a:b` are files.
        guard let colon = text.firstIndex(of: ":"), !text.hasPrefix("/"), !text.hasPrefix(".") else { return }
        container = String(text[..<colon])
        path = String(text[text.index(after: colon)...])
    }

    static func name(_ path: String) -> String {
        path.split(separator: "/").last { $0 != "." }.map(String.init) ?? "/"
    }

    static func parent(_ path: String) -> String {
        let parts = path.split(separator: "/").filter { $0 != "." }.dropLast().joined(separator: "/")
        return path.hasPrefix("/") ? "/" + parts : parts.isEmpty ? "." : parts
    }

    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        let here = ProcessEnvironment.current["PWD"] ?? ""
        return here + "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    /// Whether it is a folder itself, links not followed; nil when it is not there.
    static func localFolder(_ path: String) -> Bool? {
        var about = stat()
        guard unsafe lstat(path, &about) == 0 else { return nil }
        return about.st_mode & S_IFMT == S_IFDIR
    }

    static func resolved(_ path: String) -> String? {
        guard let found = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(found) }
        return unsafe String(cString: found)
    }

    /// Go's bits of what a file is.
    static func isFolder(_ status: JSONValue) -> Bool { (status["mode"]?.integer ?? 0) & 1 << 31 != 0 }
    static func isLink(_ status: JSONValue) -> Bool { (status["mode"]?.integer ?? 0) & 1 << 27 != 0 }
}
