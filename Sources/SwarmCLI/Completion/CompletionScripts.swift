/// What shells read to complete command lines of swarmctl: each asks the program itself, through `swarmctl __complete`.
///
/// That verb takes the words up to the cursor and prints a line for each way to go on, `TEXT<tab>SUMMARY`. A line
/// `:files` asks the shell for names of files too, `:open` wants no space after the word.
package enum CompletionScript: String, CaseIterable, Sendable {
    case bash, zsh, fish

    package var text: String {
        switch self {
        case .bash: Self.bashText
        case .zsh: Self.zshText
        case .fish: Self.fishText
        }
    }

    private static let bashText = #"""
        # Completion of swarmctl for bash. For this shell alone:  source <(swarmctl completion bash)
        # for all:  swarmctl completion bash >/etc/bash_completion.d/swarmctl
        _swarmctl() {
            local program=${1/#\~/$HOME} rest=${COMP_LINE:0:COMP_POINT} words=() piece before i
            # Bash cuts words at = and : too: a piece that no blank separates from the one before is part of it.
            for ((i = 0; i <= COMP_CWORD; i++)); do
                before=$rest
                rest=${rest#"${rest%%[![:space:]]*}"}
                piece=${COMP_WORDS[i]}
                if ((i == COMP_CWORD)); then piece=$rest; fi
                if ((i > 0)) && [[ $before == "$rest" ]]; then words[-1]+=$piece; else words+=("$piece"); fi
                rest=${rest#"$piece"}
            done
            # What stands before the last such cut stays on the line as it is.
            local last=${words[-1]} breaks="" kept="" candidate path
            [[ $COMP_WORDBREAKS != *=* ]] || breaks+="="
            [[ $COMP_WORDBREAKS != *:* ]] || breaks+=":"
            if [[ -n $breaks && $last == *["$breaks"]* ]]; then kept=${last%"${last##*["$breaks"]}"}; fi
            COMPREPLY=()
            while IFS=$'\t' read -r candidate _; do
                case $candidate in
                    :open) compopt -o nospace 2>/dev/null ;;
                    :files)
                        compopt -o filenames 2>/dev/null
                        while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -f -- "${last#"$kept"}") ;;
                    *) COMPREPLY+=("${candidate#"$kept"}") ;;
                esac
            done < <("$program" __complete -- "${words[@]:1}" 2>/dev/null)
        }
        complete -F _swarmctl swarmctl

        """#

    private static let zshText = #"""
        #compdef swarmctl
        # Completion of swarmctl for zsh. For this shell alone:  source <(swarmctl completion zsh)
        # for all:  swarmctl completion zsh >"${fpath[1]}/_swarmctl"
        _swarmctl() {
            local line files=0
            local -a found ending
            for line in "${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
                case $line in
                    '') ;;
                    :open) ending=(-S '') ;;
                    :files) files=1 ;;
                    # The first colon ends the word, so those inside are escaped.
                    *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
                esac
            done
            (( ! $#found )) || _describe swarmctl found $ending
            if (( files )); then
                compset -P '--*='
                _files
            fi
        }
        if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _swarmctl "$@"; else compdef _swarmctl swarmctl; fi

        """#

    private static let fishText = #"""
        # Completion of swarmctl for fish. For this shell alone:  swarmctl completion fish | source
        # for all:  swarmctl completion fish >~/.config/fish/completions/swarmctl.fish
        function __swarmctl_candidates
            set -l before (commandline -opc)
            set -l program $before[1]
            set -e before[1]
            set -l last (commandline -ct)
            for line in ($program __complete -- $before "$last" 2>/dev/null)
                switch $line
                    case ':files'
                        set -l kept (string match -r -- '^--[^=]*=' "$last")
                        set -l path (string replace -r -- '^--[^=]*=' '' "$last")
                        for found in (__fish_complete_path "$path")
                            printf '%s%s\n' "$kept" "$found"
                        end
                    case ':*'
                    case '*'
                        printf '%s\n' "$line"
                end
            end
        end
        complete -c swarmctl -f -a '(__swarmctl_candidates)'

        """#
}
