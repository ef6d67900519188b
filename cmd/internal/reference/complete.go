// Package reference generates what documents a program from its table of commands and flags: the manual page, the
// reference in Markdown, the completion scripts of three shells and the JSON schema of its configuration file.
package reference

import (
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Completion returns the script that completes the program's commands, flags and values in one of [option.Shells]; "" for
// another one.
func Completion(p *option.Program, shell string) string {
	switch shell {
	case "bash":
		return bash(p)
	case "zsh":
		return zsh(p)
	case "fish":
		return fish(p)
	}
	return ""
}

func commandNames(p *option.Program) string {
	var names []string
	for _, c := range p.Commands {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// bash needs nothing but bash itself: no bash-completion package. A value after "=" is a word of its own there.
func bash(p *option.Program) string {
	var b strings.Builder
	b.WriteString("# bash completion of " + p.Name + ": eval \"$(" + p.Name + " completion bash)\"\n")
	bashKeys(&b, p)
	b.WriteString(`_` + p.Name + `() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= values= files=
    COMPREPLY=()
    local line=${COMP_LINE:0:COMP_POINT} flag token
    token=${line##*[[:blank:]]} line=${line%"${line##*[[:blank:]]}"} # whole words: bash splits at "=" and ":"
    if [[ $token == --*=* ]]; then
        flag=${token%%=*} token=${token#*=}
    else
        line=${line%"${line##*[![:blank:]]}"} flag=${line##*[[:blank:]]}
    fi
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "` + commandNames(p) + `" -- "$cur")
        return
    fi
    case ${COMP_WORDS[1]} in
`)
	for _, c := range p.Commands {
		b.WriteString("    " + c.Name + ")\n        flags=\"")
		for i, f := range c.AllFlags() {
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
		for _, f := range c.Flags {
			if f.Groups != nil {
				b.WriteString("        [[ $flag == --" + f.Name + " ]] && { _" + p.Name + "_keys \"$token\" " + shellWords(keySpecs(&f)) + "; return; }\n")
			}
		}
		b.WriteString("        case $prev in\n")
		for _, f := range c.Flags {
			if f.Arg == "" || f.Groups != nil {
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

// bashKeys writes the function that completes a value made of keys. Its arguments are the value so far and keySpecs.
func bashKeys(b *strings.Builder, p *option.Program) {
	b.WriteString(`_` + p.Name + `_keys() {
    local token=$1 last=${1##*,} spec names= head
    shift
    if [[ $last == *=* ]]; then
        for spec; do
            [[ ${spec%%=*} == "${last%%=*}" ]] || continue
            spec=${spec#*=} last=${last#*=}
            if [[ $spec == @ ]]; then
                compopt -o filenames 2>/dev/null || :
                mapfile -t COMPREPLY < <(compgen -f -- "$last")
            else
                mapfile -t COMPREPLY < <(compgen -W "${spec//|/ }" -- "$last")
            fi
        done
        return
    fi
    head=${token%"$last"} head=${head##*[=:]} # readline replaces what follows these only
    for spec; do
        if [[ $spec == "="* ]]; then # what may be first without its key
            [[ $token == "$last" ]] || continue
            [[ $spec == "=@" ]] || names+=" ${spec#=}"
        elif [[ $spec == *=* ]]; then
            names+=" ${spec%%=*}="
        else
            names+=" $spec"
        fi
    done
    compopt -o nospace 2>/dev/null || :
    mapfile -t COMPREPLY < <(
        compgen -P "$head" -W "${names//|/ }" -- "$last" || :
        [[ " $* " == *" =@ "* && $token == "$last" ]] && compgen -f -- "$last"
    )
}
`)
}

// keySpecs describes each key: "readonly", "queues=", "cache=writeback|unsafe", "path=@" for a file, and "=…" for
// what may stand first without its key.
func keySpecs(f *option.Flag) (specs []string) {
	g := f.Groups.Blank()
	for i := range g.Keys {
		k := &g.Keys[i]
		values := strings.Join(k.Values, "|")
		if k.Files {
			values = "@"
		}
		if k.Name == g.Main && values != "" {
			specs = append(specs, "="+values)
		}
		if k.Type == option.Boolean && k.Default == "" {
			specs = append(specs, k.Name)
		} else if k.Type == option.Boolean {
			specs = append(specs, k.Name+"=true|false")
		} else {
			specs = append(specs, k.Name+"="+values)
		}
	}
	return specs
}

func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// zshKeys writes a function for each flag whose value is made of keys.
func zshKeys(b *strings.Builder, p *option.Program) {
	for _, c := range p.Commands {
		for i := range c.Flags {
			f := &c.Flags[i]
			if f.Groups == nil {
				continue
			}
			b.WriteString("_" + p.Name + "_" + c.Name + "_" + f.Name + "() {\n")
			g := f.Groups.Blank()
			if main := option.Find(g.Keys, g.Main); main != nil && (main.Files || main.Values != nil) {
				b.WriteString("    if [[ $PREFIX != *[,=]* ]]; then\n        ")
				if main.Files {
					b.WriteString("_files -S ''\n")
				} else {
					b.WriteString("compadd -S '' -- " + strings.Join(main.Values, " ") + "\n")
				}
				b.WriteString("    elif [[ $PREFIX == *,* && ${PREFIX%%,*} != *=* ]]; then\n        compset -P 1 '*,'\n    fi\n")
			}
			b.WriteString("    _values -s , key")
			for j := range g.Keys {
				k := &g.Keys[j]
				spec := k.Name + "[" + zshText(k.Help) + "]"
				if k.Many {
					spec = "*" + spec
				}
				if k.Type == option.Boolean && k.Default != "" {
					spec += ":HOW:(true false)"
				} else if k.Type != option.Boolean {
					arg := k.Arg
					if arg == "" {
						arg = "HOW" // nothing there would make the value optional
					}
					spec += ":" + arg + ":"
					if k.Files {
						spec += "_files"
					} else if k.Values != nil {
						spec += "(" + strings.Join(k.Values, " ") + ")"
					}
				}
				b.WriteString(" \\\n        " + quote(spec))
			}
			b.WriteString("\n}\n")
		}
	}
}

func zsh(p *option.Program) string {
	var b strings.Builder
	b.WriteString("#compdef " + p.Name + "\n# zsh completion: put it as _" + p.Name + " into a folder of $fpath, or: source <(" + p.Name + " completion zsh)\n")
	zshKeys(&b, p)
	b.WriteString("_" + p.Name + "() {\n    local -a commands\n    commands=(\n")
	for _, c := range p.Commands {
		b.WriteString("        " + quote(c.Name+":"+c.Brief) + "\n")
	}
	b.WriteString("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n")
	b.WriteString("    local command=${words[2]}\n    shift words\n    ((CURRENT--))\n    case $command in\n")
	for _, c := range p.Commands {
		b.WriteString("    " + c.Name + ")\n        _arguments -s")
		for _, f := range c.AllFlags() {
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
				if f.Groups != nil {
					spec += "_" + p.Name + "_" + c.Name + "_" + f.Name
				} else if f.Files {
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

func fish(p *option.Program) string {
	var b strings.Builder
	b.WriteString("# fish completion: " + p.Name + " completion fish > ~/.config/fish/completions/" + p.Name + ".fish\n")
	b.WriteString(`function __` + p.Name + `_keys
    set -l token (string replace -r '^--[a-z-]+=' '' -- (commandline -ct))
    set -l head (string replace -r '[^,]*$' '' -- "$token")
    set -l last (string replace -r '^.*,' '' -- "$token")
    for spec in $argv
        set -l name (string split -m 1 = -- $spec)
        if string match -q '=*' -- $spec
            if test -z "$head"; and test "$spec" != '=@'
                string split '|' -- $name[2]
            end
        else if string match -q -- "$name[1]=*" "$last"
            for value in (string split '|' -- "$name[2]")
                test "$value" = @; or echo $head$name[1]=$value
            end
        else if string match -q '*=*' -- $spec
            echo $head$name[1]=
        else
            echo $head$spec
        end
    end
end
`)
	complete := "complete -c " + p.Name
	b.WriteString(complete + " -f\n")
	none := " -n 'not __fish_seen_subcommand_from " + commandNames(p) + "'"
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
		for _, f := range c.AllFlags() {
			b.WriteString(complete + on + " -l " + f.Name)
			if f.Short != 0 {
				b.WriteString(" -s " + string(rune(f.Short)))
			}
			if f.Groups != nil {
				specs := keySpecs(&f)
				for _, s := range specs {
					if s == "=@" {
						b.WriteString(" -F")
					}
				}
				b.WriteString(" -r -a " + quote("(__"+p.Name+"_keys "+fishWords(specs)+")"))
			} else if f.Arg != "" {
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

// fishWords quotes words inside a quoted string: with the other kind of quotes.
func fishWords(words []string) string { return `"` + strings.Join(words, `" "`) + `"` }

// quote makes one word of text for zsh and fish, between single quotes. What stands in quotes differs between the two
// shells only for backslashes and quotes, which is why a quote is closed, escaped and opened again.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
