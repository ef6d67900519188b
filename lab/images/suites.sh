# Runs in the root of an image that is made. /opt/suites gets:
#
#	perl/       the tests of perl's source, with a lib that leads to the installed modules
#	openssl/    programs and data of openssl's tests, built from its source
#	x86/        selftests/x86 of Linux' source, of 32 and 64 bits
#	repo/       an archive with one package, the only one that apt knows afterwards
suites=/opt/suites
mkdir -p $suites/openssl $suites/x86 $suites/perl/lib $suites/repo /tmp/build
cd /tmp/build

# Sources come from the archive itself. Of openssl that of Debian 12 is taken for all, so that they run the same
# programs. The description of a source (.dsc) may be missing where the source itself is there.
for release in $(. /etc/os-release; echo $VERSION_CODENAME) bookworm; do
	sed -n "/security/d; /updates/d; s/^deb \([^ ]*\) [^ ]* .*/deb-src \1 $release main/p" /etc/apt/sources.list
done | sort -u >/etc/apt/sources.list.d/source.list
apt-get update -qq
apt-get source -qq --download-only perl || true
apt-get source -qq --download-only openssl/bookworm
apt-get download -qq @LINUX_SOURCE@

tar xf perl_*.orig.tar.?z
cd perl-*
cp -r t regen $suites/perl
for from in /usr/share/perl/5.*.* /usr/lib/x86_64-linux-gnu/perl-base /usr/lib/x86_64-linux-gnu/perl/5.*.*; do
	cp -rsf $from/. $suites/perl/lib
done
cd ..

tar xf openssl_3.0.*.orig.tar.gz
cd openssl-3.0.*
programs="aesgcmtest asn1_time_test bftest bioprinttest bntest casttest chacha_internal_test cmactest constant_time_test
	curve448_internal_test destest dhtest dsatest ecdsatest ectest evp_test exptest hmactest ideatest igetest lhash_test mdc2test
	modes_internal_test packettest params_conversion_test poly1305_internal_test rc2test rc4test rsa_mp_test rsa_test
	secmemtest sha_test siphash_internal_test sm2_internal_test sm3_internal_test sm4_internal_test sparse_array_test srptest
	wpackettest x509_time_test"
./Configure linux-x86_64 >build.log
make build_generated >>build.log
make -j$(nproc) providers/legacy.so $(for p in $programs; do echo test/$p; done) >>build.log 2>&1 || { tail build.log; exit 1; }
for p in $programs; do cp test/$p $suites/openssl; done
cp libcrypto.so.3 providers/legacy.so test/default.cnf test/recipes/*_data/*.txt $suites/openssl
strip $suites/openssl/*test $suites/openssl/*.so*
cd ..

dpkg-deb -x @LINUX_SOURCE@_*.deb linux
tar xf linux/usr/src/@LINUX_SOURCE@.tar.xz @LINUX_SOURCE@/tools @LINUX_SOURCE@/scripts @LINUX_SOURCE@/arch/x86/include
# Not every test of every release compiles with every compiler.
make -k -C @LINUX_SOURCE@/tools/testing/selftests/x86 >selftests.log 2>&1 || true
find @LINUX_SOURCE@/tools/testing/selftests/x86 -type f -perm -1 \( -name '*_32' -o -name '*_64' \) -exec cp {} $suites/x86 \;
[ $(ls $suites/x86 | wc -l) -gt 30 ]

cd $suites/repo
apt-get download -qq hello
apt-ftparchive packages . >Packages
rm -rf /tmp/build /etc/apt/sources.list.d/*
echo "deb [trusted=yes] file:$suites/repo ./" >/etc/apt/sources.list
