import SwarmCore
import Testing

@testable import Overlay

@Suite struct PublishedPortTests {
    @Test func `a port's key tells transports apart and sorts by number`() {
        let web = PublishedPort(transport: .tcp, publishedPort: 80, targetPort: 8080, mode: .ingress, backends: [])
        let dns = PublishedPort(transport: .udp, publishedPort: 53, targetPort: 53, mode: .host, backends: [])
        #expect(web.key.description == "80/tcp")
        #expect([web.key, dns.key].sorted() == [dns.key, web.key])
        #expect(PublishedPort.Key(transport: .tcp, port: 53) != dns.key)
    }
}
