/// Bounds on what a stack file may ask of the loader; each refusal names the bound.
package enum StackLimits {
    /// Of one file.
    package static let fileBytesMax = 4 << 20
    /// Of one file, after its aliases are put in; a "billion laughs" file ends here.
    package static let valuesMax = 200_000
    /// Of collections within collections.
    package static let depthMax = 100
    /// Of all files that `-c`, `include`, `extends` and `env_file` name.
    package static let filesMax = 200
    /// Of `include` and `extends` chains.
    package static let chainMax = 32
    /// Of `${A:-${B:-…}}`.
    package static let interpolationDepthMax = 20
    /// Of the text that one interpolation yields.
    package static let interpolatedBytesMax = 1 << 20
    /// Of the text that all interpolations of one file yield.
    package static let interpolatedTotalBytesMax = 16 << 20
    /// Of the problems that are told at once; what is beyond is counted.
    package static let diagnosticsMax = 100
    /// Of ports that one range may stand for.
    package static let portRangeMax = 65_536
    /// Of ports that one service may publish: what is loaded, printed and planned within a second.
    package static let portsMax = 16_384
    /// Of one config's data, in bytes, as the engine has it.
    package static let configBytesMax = 1000 << 10
    /// Of one secret's data, in bytes, as the engine has it.
    package static let secretBytesMax = 500 << 10
}
