#!/bin/bash
# suites.sh OUT ONLY SUITE...
#
# Runs suites of tests of a Debian with /opt/suites: in a guest, or in a chroot of the same files. Each
# case whose name SUITE/CASE matches the regular expression ONLY leaves a file OUT/SUITE/CASE with what it printed and,
# in the last line, "exit CODE". SCALE multiplies the cases' limits of time, which are what a processor needs with
# much to spare.
out=$1 only=$2
shift 2
export LC_ALL=C.UTF-8 HOME=/root TERM=dumb PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=1 PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0
scale=${SCALE:-1}
here=$(cd "$(dirname "$0")" && pwd)

# check NAME SECONDS COMMAND [ARGUMENT...]
check() {
	[[ $suite/$1 =~ $only ]] || return 0
	local to=$out/$suite/$1 limit=$(($2 * scale)) begin=$SECONDS
	shift 2
	timeout -k 30 $limit "$@" >"$to" 2>&1 </dev/null
	echo "exit $?" >>"$to"
	echo "case $suite ${to##*/} $((SECONDS - begin)) s $(tail -n 1 "$to")"
}

python() {
	cd /tmp || return
	local set n=0
	for set in \
		"test_bool test_operator test_with test_raise test_colorsys" \
		"test_int test_long test_float test_complex test_binop" \
		"test_math test_cmath test_fractions test_decimal" \
		"test_struct test_array test_bytes test_memoryview test_binascii test_base64" \
		"test_zlib test_bz2 test_lzma test_gzip test_hashlib test_hmac" \
		"test_list test_tuple test_dict test_set test_deque test_heapq test_bisect test_iter" \
		"test_str test_unicodedata test_codecs test_ucn test_format test_fstring test_re" \
		"test_json test_pickle test_marshal test_csv test_configparser test_plistlib" \
		"test_generators test_coroutines test_contextlib test_exceptions test_grammar" \
		"test_random test_statistics test_difflib test_textwrap test_string" \
		"test_itertools test_functools test_collections test_enum test_dataclasses" \
		"test_thread test_threading_local test_queue test_sched test_mmap test_select" \
		"test_ast test_compile test_dis test_tokenize test_peepholer"; do
		n=$((n + 1))
		check "$n-${set%% *}" 60 python3 -m test -v $set
	done
}

perl() {
	cd /opt/suites/perl/t || return
	local t
	for t in base/*.t cmd/*.t comp/{bproto,cmdopt,fold,hints,multiline,our,package,parser_run,proto,redef,retainedlines,term,uproto,use,utf}.t \
		opbasic/*.t re/{alpha_assertions,begin-once,bigfuzzy_not_utf8,charset,const_svleak,keep_tabs,no_utf8_pm,overload_rx,pat_psycho,pos,qr,qr_gc,qrstack,reg_60508,reg_email,reg_eval_smartmatch,reg_fold,reg_namedclose,reg_nc_tie,reg_nocapture,reg_posixcc,rxcode,script_run,subst,subst_amp,subst_wamp}.t \
		op/{64bitint,append,arith,arith2,array,auto,bop,chop,chr,closure,concat2,cond,context,defer,delete,die,do,each,eval,exp,fh,grep,hash,heredoc,hexfp,inc,index,infnan,int,join,kvaslice,lc,length,lex,list,local,loopctl,lop,my,negate,not,numconvert,numify,oct,ord,pack,pos,pow,push,quotemeta,rand,range,recurse,repeat,reverse,select,signatures,sleep,splice,split,sprintf,sprintf2,srand,state,substr,switch,tie,time,tr,undef,unshift,upgrade,utf8decode,utfhash,vec,ver,wantarray}.t; do
		[ -e "$t" ] && check "${t//\//-}" 60 /usr/bin/perl "$t"
	done
}

openssl() {
	cd /opt/suites/openssl || return
	export LD_LIBRARY_PATH=$PWD OPENSSL_MODULES=$PWD OPENSSL_CONF=/dev/null OPENSSL_TEST_RAND_SEED=1
	local t
	for t in *test; do
		case $t in
		bntest | evp_test) ;;
		params_conversion_test) check "$t" 60 "./$t" native_types.txt ;;
		*) check "$t" 120 "./$t" ;;
		esac
	done
	for t in bn*.txt; do check "bntest-$t" 60 ./bntest "$t"; done
	for t in evp{ciph_aes,ciph_camellia,ciph_chacha,ciph_sm4,encod,kdf_hkdf,kdf_tls,mac_,md_,pkey_ecx,pkey_ecdh,pkey_rsa.txt,rand}*; do
		check "evp_test-$t" 60 ./evp_test -config default.cnf "$t"
	done
	unset LD_LIBRARY_PATH OPENSSL_MODULES OPENSSL_CONF
}

gcc() {
	cd /tmp || return
	check compile 60 /usr/bin/gcc -O2 -Wall -o /tmp/numbers "$here/numbers.c" -lm
	check run 60 /tmp/numbers
	check compile32 60 /usr/bin/gcc -m32 -O2 -Wall -o /tmp/numbers32 "$here/numbers.c" -lm
	check run32 60 /tmp/numbers32
}

node() {
	check jit 60 /usr/bin/node "$here/jit.js"
}

apt() {
	export DEBIAN_FRONTEND=noninteractive
	check update 60 apt-get -q update
	check install 60 apt-get -q -y -o Dpkg::Use-Pty=0 install hello
	check hello 60 hello
	check remove 60 apt-get -q -y -o Dpkg::Use-Pty=0 purge hello
	check check 60 apt-get -q check
	check policy 60 apt-cache policy bash libc6 systemd
}

stress() {
	cd /tmp || return
	local ops=${STRESS_OPS:-20}
	check cpu 120 stress-ng --cpu 1 --cpu-ops "$ops" --verify --metrics-brief
	check fp 120 stress-ng --fp 1 --fp-ops "$ops" --verify
	check matrix 120 stress-ng --matrix 1 --matrix-ops "$ops" --matrix-size 64 --verify
	check vm 120 stress-ng --vm 1 --vm-bytes 16M --vm-ops 2000 --verify
}

selftests() {
	cd /opt/suites/x86 || return
	local t
	for t in *; do check "$t" 60 "./$t"; done
}

# locking wants several processors. EACH is how many seconds a case runs.
locking() {
	cd /tmp || return
	local each=${EACH:-10} n t
	n=$(nproc)
	for t in futex mutex sem sem-sysv lockbus atomic mcontend membarrier pipe msg switch; do
		check "$t" $((each + 60)) stress-ng "--$t" "$n" --timeout "${each}s" --verify
	done
	check compile 60 /usr/bin/gcc -O2 -Wall -mcx16 -pthread -o /tmp/queue "$here/queue.c"
	check queue $((3 * each + 60)) /tmp/queue "$n" "$each"
}

for suite in "$@"; do
	mkdir -p "$out/$suite"
	$suite
done
exit 0
