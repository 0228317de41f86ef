import Testing

@testable import GoTemplate

/// What `docker service inspect` would hand a template.
let service: TemplateValue = [
    "ID": "9mnpnzenvg8p", "Name": "web", "Replicas": 3, "Ratio": 0.25, "Global": false, "Nothing": nil,
    "Ports": ["80/tcp", "443/tcp"], "Empty": [],
    "Spec": ["Name": "web", "Labels": ["b": "2", "a": "1"], "Mode": ["Replicated": ["Replicas": 3]]],
]

func render(
    _ text: String, _ value: TemplateValue = service, missingKey: Template.MissingKey = .noValue
) throws -> String {
    try Template(parsing: text, missingKey: missingKey).render(value)
}

func failure(_ text: String, _ value: TemplateValue = service, missingKey: Template.MissingKey = .noValue)
    -> String
{
    do throws(TemplateError) {
        return "no error but: \(try Template(parsing: text, missingKey: missingKey).render(value))"
    } catch {
        return error.description
    }
}

@Suite struct TemplateTests {
    @Test(arguments: [
        ("plain text", "plain text"), ("", ""), ("{{.Name}}", "web"), ("{{ .Name }}", "web"),
        ("{{.Spec.Name}}/{{.Replicas}}", "web/3"), ("{{$.Name}}", "web"), ("{{(.Spec).Name}}", "web"),
        ("{{.Spec.Labels}}", "map[a:1 b:2]"), ("{{.Ports}}", "[80/tcp 443/tcp]"), ("{{.Ratio}}", "0.25"),
        ("{{.Global}} {{.Nothing}} {{.Nope}} {{.Nope.Deeper}}", "false <no value> <no value> <no value>"),
        ("a {{- .Name -}} b", "awebb"), ("a {{-  3}} {{3 -}}  b", "a3 3b"),
        ("{{/* note */}}x{{- /* two */ -}} y", "xy"),
        ("{{$x := .Name}}{{$x}}{{$x = 5}}{{$x}}", "web5"),
        ("{{\"a\\tb\\x41\\u00e9\"}}{{`r\\n`}}{{'a'}}", "a\tbAér\\n97"),
        ("{{0x1F}} {{-7}} {{1_000}} {{0b11}} {{1.5}} {{1e3}} {{017}}", "31 -7 1000 3 1.5 1000 15"),
        ("{{}", "template parsing error: template: :1: unexpected \"}\" in command"),
    ])
    func `literals, fields and variables print as in Go`(text: String, expected: String) {
        #expect((try? render(text)) ?? failure(text) == expected)
    }

    @Test(arguments: [
        ("{{if .Global}}g{{else if eq .Replicas 3}}three{{else}}other{{end}}", "three"),
        ("{{if .Empty}}yes{{end}}{{if .Ports}}ports{{end}}{{if not .Nope}}!{{end}}", "ports!"),
        ("{{range .Ports}}<{{.}}>{{end}}", "<80/tcp><443/tcp>"),
        ("{{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$i}}={{$p}}{{end}}", "0=80/tcp, 1=443/tcp"),
        ("{{range $k, $v := .Spec.Labels}}{{$k}}{{$v}};{{end}}", "a1;b2;"),
        ("{{range .Empty}}x{{else}}none{{end}}{{range .Nope}}x{{else}}none{{end}}", "nonenone"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range $i, $_ := .Ports}}{{if eq $i 1}}{{break}}{{end}}{{$i}}{{continue}}no{{end}}", "0"),
        ("{{with .Spec}}{{.Name}} {{$.ID}}{{end}}{{with .Nope}}x{{else}}y{{end}}", "web 9mnpnzenvg8py"),
        ("{{with $s := .Spec}}{{$s.Name}}{{end}}{{with .Nope}}{{else with .Name}}{{.}}{{end}}", "webweb"),
        ("{{$n := 0}}{{range .Ports}}{{$n = len .}}{{end}}{{$n}}", "7"),
    ])
    func `blocks choose and repeat`(text: String, expected: String) throws {
        #expect(try render(text) == expected)
    }

    @Test(arguments: [
        ("{{and .Name 0 .Ports.No}} {{or 0 .Name .Ports.No}} {{not 1}}", "0 web false"),
        (
            "{{eq 1 2 1}} {{ne \"a\" \"b\"}} {{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1 2}}",
            "true true true true true false"
        ),
        ("{{eq .Nothing nil}} {{eq 1 1.0}}", "true true"),
        ("{{len .Name}} {{len .Ports}} {{len .Spec.Labels}}", "3 2 2"),
        (
            "{{index .Ports 1}} {{index .Spec.Labels \"a\"}} {{index .Spec \"Mode\" \"Replicated\" \"Replicas\"}}",
            "443/tcp 1 3"
        ),
        ("{{index .Spec.Labels \"none\"}}", "<no value>"),
        ("{{slice .Name 1}} {{slice .Name 0 2}} {{slice .Ports 1 2}}", "eb we [443/tcp]"),
        ("{{print 1 2 \"a\" 3 \"b\" nil}}|{{println 1 \"a\"}}|", "1 2a3b<nil>|1 a\n|"),
        ("{{.Name | printf \"%s-%d\" \"x\" | len}}", "17"),
        ("{{.Name | upper}} {{lower \"ABC\"}} {{title \"ab cd-ef g_h\"}}", "WEB abc Ab Cd-Ef G_h"),
        (
            "{{split \"a,b,c\" \",\"}} {{join .Ports \"; \"}} {{range split \"xy\" \"\"}}{{.}}.{{end}}",
            "[a b c] 80/tcp; 443/tcp x.y."
        ),
        (
            "[{{pad .Name 1 2}}] [{{pad \"\" 1 2}}] {{truncate .ID 4}} {{truncate .ID 40}}",
            "[ web  ] [] 9mnp 9mnpnzenvg8p"
        ),
        (
            "{{json .Spec.Labels}} {{json .Ports}} {{json \"<\\\"\\n>\"}} {{.Ratio | json}} {{json nil}}",
            "{\"a\":\"1\",\"b\":\"2\"} [\"80/tcp\",\"443/tcp\"] \"<\\\"\\n>\" 0.25 null"
        ),
        ("{{json 1e-7}} {{json 1e21}} {{json 100.0}}", "1e-7 1e+21 100"),
    ])
    func `functions do what Go's and docker's do`(text: String, expected: String) throws {
        #expect(try render(text) == expected)
    }

    @Test(arguments: [
        (
            "%d|%5d|%-5d|%05d|%+d|%x|%X|%#x|%b|%o|%c|%q|%U",
            "3|    3|3    |00003|+3|3|3|0x3|11|3|\u{3}|'\u{3}'|U+0003"
        )
    ])
    func `printf formats whole numbers`(format: String, expected: String) throws {
        let count = format.filter { $0 == "%" }.count
        let text = "{{printf \"\(format)\"\(String(repeating: " .Replicas", count: count))}}"
        #expect(try render(text) == expected)
    }

    @Test(arguments: [
        ("%s %10s|%-6s|%.2s|%q|%x|%v|%T", "web        web|web   |we|\"web\"|776562|web|string")
    ])
    func `printf formats texts`(format: String, expected: String) throws {
        let count = format.filter { $0 == "%" }.count
        let text = "{{printf \"\(format)\"\(String(repeating: " .Name", count: count))}}"
        #expect(try render(text) == expected)
    }

    @Test(arguments: [
        ("%.2f 2.675", "2.67"), ("%.0f 2.5", "2"), ("%.0f 3.5", "4"), ("%f 1.0", "1.000000"),
        ("%.3f 999.9996", "1000.000"),
        ("%e 123456.0", "1.234560e+05"), ("%.1e 0.00099", "9.9e-04"), ("%g 1e21", "1e+21"),
        ("%.3g 1234.5", "1.23e+03"),
        ("%8.2f -1.5", "   -1.50"), ("%08.2f -1.5", "-0001.50"), ("%.1f 0.05", "0.1"),
        ("%.3f 1e-300", "0.000"),
        ("%g 1e-5", "1e-05"), ("%v 123456789.0", "1.23456789e+08"), ("%v 123456.0", "123456"),
        ("%v 0.1", "0.1"), ("%.20f 0.1", "0.10000000000000000555"),
    ])
    func `printf formats fractions exactly`(pair: String, expected: String) throws {
        let parts = pair.split(separator: " ", maxSplits: 1)
        let printed = try render("{{printf \"\(parts[0])\" (\(parts[1]))}}")
        #expect(printed == expected)
    }

    @Test func `printf says what does not fit its verb`() throws {
        #expect(try render("{{printf \"%d\" .Name}}") == "%!d(string=web)")
        #expect(try render("{{printf \"%d %d\" 1}}") == "1 %!d(MISSING)")
        #expect(try render("{{printf \"%d\" 1 2 \"x\"}}") == "1%!(EXTRA int64=2, string=x)")
        #expect(try render("{{printf \"100%%|%\"}}") == "100%|%!(NOVERB)")
        #expect(try render("{{printf \"%*d|%s|%t\" 4 7 .Ports true}}") == "   7|[80/tcp 443/tcp]|true")
    }

    @Test(arguments: [
        ("{{.ID }", "unexpected \"}\" in operand"), ("{{.ID}", "bad character U+007D '}'"),
        ("{{", "unclosed action"),
        ("{{}}", "missing value for command"), ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if .A}}", "unexpected EOF"), ("{{if}}x{{end}}", "missing value for if"),
        ("{{nope .}}", "function \"nope\" not defined"),
        ("{{$x}}", "undefined variable \"$x\""), ("{{(1}}", "unclosed left paren"),
        ("{{1)}}", "unexpected right paren"),
        ("{{\"a}}", "unterminated quoted string"), ("{{`a}}", "unterminated raw quoted string"),
        ("{{/* a}}", "unclosed comment"),
        ("{{3x}}", "bad number syntax: \"3x\""), ("{{. | 3}}", "non executable command in pipeline stage 2"),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{template \"x\"}}", "{{template}} is not supported in a format"),
        ("{{range $a, $b, $c := .}}{{end}}", "too many declarations in range"),
        ("{{if .A}}{{else}}{{else}}{{end}}", "expected end; found {{else}}"),
        ("{{1.A}}", "bad number syntax: \"1.A\""),
        ("{{true.A}}", "unexpected . after term \"true\""), ("{{..}}", "unexpected <.> in operand"),
    ])
    func `a template that cannot be read is refused in Go's words`(text: String, expected: String) {
        #expect(failure(text) == "template parsing error: template: :1: \(expected)")
    }

    @Test(arguments: [
        (
            "{{.Name.Deeper}}",
            "1:2: executing \"\" at <.Name.Deeper>: can't evaluate field Deeper in type string"
        ),
        ("\n  {{.Nothing.X}}", "2:4: executing \"\" at <.Nothing.X>: nil pointer evaluating interface {}.X"),
        (
            "{{index .Ports 5}}",
            "1:2: executing \"\" at <index .Ports 5>: error calling index: index out of range: 5"
        ),
        ("{{len 3}}", "1:2: executing \"\" at <len 3>: error calling len: len of type int64"),
        ("{{.Name 3}}", "1:2: executing \"\" at <.Name>: Name is not a method but has arguments"),
        ("{{range .Name}}{{end}}", "1:8: executing \"\" at <.Name>: range can't iterate over web"),
        (
            "{{eq 1 \"a\"}}",
            "1:2: executing \"\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison"
        ),
        (
            "{{upper .Replicas}}",
            "1:2: executing \"\" at <upper .Replicas>: error calling upper: wrong type for value; expected string; got int64"
        ),
        ("{{len}}", "1:2: executing \"\" at <len>: wrong number of args for len: want 1 got 0"),
        (
            "{{pad .Name 1 -1}}",
            "1:2: executing \"\" at <pad .Name 1 -1>: error calling pad: a width is 0 to 10000, not -1"
        ),
        ("{{nil}}", "1:2: executing \"\" at <nil>: nil is not a command"),
        ("{{1 2}}", "1:2: executing \"\" at <1>: can't give argument to non-function 1"),
    ])
    func `a template that cannot be carried out says where and why`(text: String, expected: String) {
        #expect(failure(text) == "template: :\(expected)")
    }

    @Test func `a missing field is an error where one asked for that`() {
        #expect(
            failure("{{.Nope}}", missingKey: .error)
                == "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type map[string]interface {}"
        )
        #expect((try? render("{{.Name}}", missingKey: .error)) == "web")
    }

    @Test func `functions and methods can be added`() throws {
        let functions: [String: Template.Function] = [
            "secret": .init { (arguments) throws(TemplateError) in
                guard arguments == ["key"] else { throw TemplateError("secret not found") }
                return "hidden"
            },
            ".Label": .init { (arguments) throws(TemplateError) in
                guard case .map(let row)? = arguments.first, case .map(let labels)? = row["Labels"],
                    case .string(let key)? = arguments.last
                else { return "" }
                return labels[key] ?? ""
            },
        ]
        let template = try Template(
            parsing: "{{secret \"key\"}} {{.Label \"disk\"}} {{(.Label \"disk\") | upper}}",
            functions: functions)
        #expect(try template.render(["Labels": ["disk": "ssd"]]) == "hidden ssd SSD")
        let other = try Template(parsing: "{{secret \"x\"}}", functions: functions)
        #expect(
            throws: TemplateError(
                "template: :1:2: executing \"\" at <secret \"x\">: error calling secret: secret not found")
        ) {
            try other.render(nil)
        }
    }

    @Test func `a table's header is made of the fields it names`() throws {
        let format = Template.expandingEscapes(
            in: "{{.ID | lower}}\\t{{.Name}}\\t{{truncate .Image 3}}\\t{{.Label \"com.disk-kind\"}}")
        let template = try Template(parsing: format)
        #expect(template.fields() == ["ID", "Name", "Image", "Label"])
        #expect(try template.header(titles: ["Image": "IMAGE NAME"]) == "ID\tNAME\tIMAGE NAME\tdisk kind")
        let nested = try Template(
            parsing:
                "{{if .A}}{{.B.C}}{{end}}{{range .D}}{{.E}}{{$.F}}{{end}}{{with .G}}{{.H}}{{else}}{{.I}}{{end}}{{(.J).K}}"
        )
        #expect(nested.fields() == ["A", "B", "D", "F", "G", "I", "J"])
    }

    @Test func `numbers print as Go prints them`() {
        let cases: [(Double, String)] = [
            (0, "0"), (1, "1"), (-2.5, "-2.5"), (1e6, "1e+06"), (999999, "999999"), (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"), (.infinity, "+Inf"), (.nan, "NaN"), (123456.789, "123456.789"),
            (.leastNonzeroMagnitude, "5e-324"),
        ]
        for (number, expected) in cases { #expect(TemplateValue.double(number).printed == expected) }
    }
}
