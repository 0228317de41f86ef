/// A number in decimal, exactly: what `%f`, `%e` and `%g` are cut from.
struct Decimal {
    /// 0...9, most significant first, without leading zeros; empty for zero.
    var digits: [UInt8]
    /// How many digits stand before the point; negative for zeros after it.
    var point: Int

    /// Every digit of a finite number: m × 2^e, and for a negative e, m × 5^-e shifted by -e digits.
    init(exactly number: Double) {
        let exponent = number == 0 ? 0 : Int(number.exponent) - 52
        let isSubnormal = number.isSubnormal
        let scale = isSubnormal ? -1074 : exponent
        var limbs: [UInt32] = [
            UInt32(truncatingIfNeeded: Self.mantissa(of: number)),
            UInt32(truncatingIfNeeded: Self.mantissa(of: number) >> 32),
        ]
        for _ in 0..<abs(scale) { Self.multiply(&limbs, by: scale < 0 ? 5 : 2) }
        digits = Self.decimalDigits(&limbs)
        point = digits.count + (scale < 0 ? scale : 0)
    }

    /// The fewest digits that read back as the same number.
    init(shortest number: Double) {
        let text = number.magnitude.description
        let parts = text.split(separator: "e", maxSplits: 1)
        let mantissa = parts.first.map { $0.split(separator: ".", omittingEmptySubsequences: false) } ?? []
        let whole = mantissa.first.map { [UInt8]($0.utf8) } ?? []
        let fraction = mantissa.count > 1 ? [UInt8](mantissa[1].utf8) : []
        digits = (whole + fraction).map { $0 &- 0x30 }
        point = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        while digits.first == 0 {
            digits.removeFirst()
            point -= 1
        }
        while digits.last == 0 { digits.removeLast() }
        if digits.isEmpty { point = 0 }
    }

    /// Keeps `count` digits (possibly none or fewer), rounding a half to even.
    mutating func round(to count: Int) {
        guard count < digits.count else { return }
        guard count >= 0 else { return (digits, point) = ([], 0) }
        let next = digits[count]
        let isTie = next == 5 && !digits[(count + 1)...].contains { $0 != 0 }
        let isOdd = count > 0 && digits[count - 1] % 2 == 1
        digits.removeSubrange(count...)
        guard next > 5 || (next == 5 && (!isTie || isOdd)) else { return }
        var index = count - 1
        while index >= 0, digits[index] == 9 {
            digits[index] = 0
            index -= 1
        }
        if index >= 0 {
            digits[index] += 1
        } else {
            digits.insert(1, at: 0)
            point += 1
        }
    }

    func digit(at index: Int) -> Character {
        digits.indices.contains(index) ? Character(Unicode.Scalar(digits[index] + 0x30)) : "0"
    }

    /// `12.50`: `%f`.
    func fixed(precision: Int) -> String {
        var rounded = self
        rounded.round(to: point + precision)
        var text = rounded.point > 0 ? String((0..<rounded.point).map(rounded.digit(at:))) : "0"
        if precision > 0 {
            text += "." + String((0..<precision).map { rounded.digit(at: rounded.point + $0) })
        }
        return text
    }

    /// `1.25e+01`: `%e`; as many digits as there are when no precision is named.
    func scientific(precision: Int?) -> String {
        var rounded = self
        if let precision { rounded.round(to: precision + 1) }
        let fraction = precision ?? max(0, digits.count - 1)
        var text = String(rounded.digit(at: 0))
        if fraction > 0 { text += "." + String((1...fraction).map(rounded.digit(at:))) }
        let exponent = rounded.digits.isEmpty ? 0 : rounded.point - 1
        let magnitude = String(abs(exponent))
        return text + (exponent < 0 ? "e-" : "e+") + (magnitude.count < 2 ? "0" : "") + magnitude
    }

    /// Go's shortest form, `%g`: plain digits up to a million, an exponent from there on and below 0.0001.
    static func general(_ number: Double) -> String {
        if let text = special(number) { return text }
        let decimal = Decimal(shortest: number)
        let sign = number.sign == .minus ? "-" : ""
        let exponent = decimal.digits.isEmpty ? 0 : decimal.point - 1
        guard exponent >= -4, exponent < 6 else { return sign + decimal.scientific(precision: nil) }
        return sign + decimal.fixed(precision: max(0, decimal.digits.count - decimal.point))
    }

    static func special(_ number: Double) -> String? {
        if number.isNaN { return "NaN" }
        return number.isInfinite ? (number.sign == .minus ? "-Inf" : "+Inf") : nil
    }

    private static func mantissa(of number: Double) -> UInt64 {
        number.isNormal ? number.significandBitPattern | 1 << 52 : number.significandBitPattern
    }

    private static func multiply(_ limbs: inout [UInt32], by factor: UInt64) {
        var carry: UInt64 = 0
        for index in limbs.indices {
            let product = UInt64(limbs[index]) * factor + carry
            limbs[index] = UInt32(truncatingIfNeeded: product)
            carry = product >> 32
        }
        if carry > 0 { limbs.append(UInt32(truncatingIfNeeded: carry)) }
    }

    private static func decimalDigits(_ limbs: inout [UInt32]) -> [UInt8] {
        var reversed: [UInt8] = []
        while limbs.contains(where: { $0 != 0 }) {
            var remainder: UInt64 = 0
            for index in limbs.indices.reversed() {
                let value = remainder << 32 | UInt64(limbs[index])
                limbs[index] = UInt32(truncatingIfNeeded: value / 10)
                remainder = value % 10
            }
            reversed.append(UInt8(remainder))
            while limbs.last == 0 { limbs.removeLast() }
        }
        return reversed.reversed()
    }
}
