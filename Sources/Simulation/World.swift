package import SwarmNode
