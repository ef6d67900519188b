package option

import "strings"

// Shells are the shells that Completion knows.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion is the script that teaches a shell the program's commands, flags and values.
func (p *Program) Completion(shell string) string {
	switch shell {
	case "bash":
		return p.bash()
	case "zsh":
		return p.zsh()
	case "fish":
		return p.fish()
	}
	return ""
}

func (p *Program) commandNames() string {
	var names []string
	for _, c := range p.Commands {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// bash needs nothing but bash itself: no bash-completion package. The value behind "=" is a word of its own there.
func (p *Program) bash() string {
	var b strings.Builder
	b.WriteString("# bash completion of " + p.Name + ": eval \"$(" + p.Name + " completion bash)\"\n")
	b.WriteString(`_` + p.Name + `() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= values= files=
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "` + p.commandNames() + `" -- "$cur")
        return
    fi
    case ${COMP_WORDS[1]} in
`)
	for _, c := range p.Commands {
		b.WriteString("    " + c.Name + ")\n        flags=\"")
		for i, f := range c.allFlags() {
			if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString("--" + f.Name)
		}
		b.WriteString("\"\n")
		if c.Files {
			b.WriteString("        files=yes\n")
		}
		if c.Values != nil {
			b.WriteString("        values=\"" + strings.Join(c.Values, " ") + "\"\n")
		}
		b.WriteString("        case $prev in\n")
		for _, f := range c.Flags {
			if f.Arg == "" {
				continue
			}
			b.WriteString("        --" + f.Name + ") flags= files= values=\"" + strings.Join(f.Values, " ") + "\"")
			if f.Files {
				b.WriteString(" files=yes")
			}
			b.WriteString(" ;;\n")
		}
		b.WriteString("        esac\n        ;;\n")
	}
	b.WriteString(`    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    elif [[ -n $values ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
    elif [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null || :
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ -n $flags ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    fi
}
complete -F _` + p.Name + ` ` + p.Name + "\n")
	return b.String()
}

func (p *Program) zsh() string {
	var b strings.Builder
	b.WriteString("#compdef " + p.Name + "\n# zsh completion: put it as _" + p.Name + " into a folder of $fpath, or: source <(" + p.Name + " completion zsh)\n")
	b.WriteString("_" + p.Name + "() {\n    local -a commands\n    commands=(\n")
	for _, c := range p.Commands {
		b.WriteString("        " + quote(c.Name+":"+c.Brief) + "\n")
	}
	b.WriteString("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n")
	b.WriteString("    local command=${words[2]}\n    shift words\n    ((CURRENT--))\n    case $command in\n")
	for _, c := range p.Commands {
		b.WriteString("    " + c.Name + ")\n        _arguments -s")
		for _, f := range c.allFlags() {
			spec := "--" + f.Name
			if f.Arg != "" {
				spec += "="
			}
			spec += "[" + zshText(f.Help) + "]"
			if f.Many {
				spec = "*" + spec
			}
			if f.Arg != "" {
				spec += ":" + f.Arg + ":"
				if f.Files {
					spec += "_files"
				} else if f.Values != nil {
					spec += "(" + strings.Join(f.Values, " ") + ")"
				}
			}
			b.WriteString(" \\\n            " + quote(spec))
		}
		if c.Files {
			b.WriteString(" \\\n            '*:file:_files'")
		} else if c.Values != nil {
			b.WriteString(" \\\n            " + quote("1:value:("+strings.Join(c.Values, " ")+")"))
		}
		b.WriteString("\n        ;;\n")
	}
	b.WriteString("    esac\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _" + p.Name + " \"$@\"\nelse\n    compdef _" + p.Name + " " + p.Name + "\nfi\n")
	return b.String()
}

func zshText(s string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

func (p *Program) fish() string {
	var b strings.Builder
	b.WriteString("# fish completion: " + p.Name + " completion fish > ~/.config/fish/completions/" + p.Name + ".fish\n")
	complete := "complete -c " + p.Name
	b.WriteString(complete + " -f\n")
	none := " -n 'not __fish_seen_subcommand_from " + p.commandNames() + "'"
	for _, c := range p.Commands {
		b.WriteString(complete + none + " -a " + c.Name + " -d " + quote(c.Brief) + "\n")
	}
	for _, c := range p.Commands {
		on := " -n '__fish_seen_subcommand_from " + c.Name + "'"
		if c.Files {
			b.WriteString(complete + on + " -F\n")
		}
		for _, v := range c.Values {
			b.WriteString(complete + on + " -a " + v + "\n")
		}
		for _, f := range c.allFlags() {
			b.WriteString(complete + on + " -l " + f.Name)
			if f.Short != 0 {
				b.WriteString(" -s " + string(rune(f.Short)))
			}
			if f.Arg != "" {
				b.WriteString(" -r")
				if f.Files {
					b.WriteString(" -F")
				}
				if f.Values != nil {
					b.WriteString(" -a " + quote(strings.Join(f.Values, " ")))
				}
			}
			b.WriteString(" -d " + quote(f.Help) + "\n")
		}
	}
	return b.String()
}

// quote makes one word of text for zsh and fish, between single quotes. What stands in quotes differs between the two
// shells only for backslashes and quotes, which is why a quote is closed, escaped and opened again.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
