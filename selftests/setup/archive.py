# SPDX-License-Identifier: MIT
"""An archive of made-up packages for check-setup, and a web server that fails as archives do."""

import functools
import hashlib
import http.server
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time


class Archive:
    """A folder like that of a Debian mirror: pool/ and dists/, with as many suites as are written."""

    def __init__(self, folder):
        self.folder = folder
        self.packages = {}

    def add(self, name, version, depends="", files=None, suite="bookworm"):
        """A package. files: path to text, or to a file to copy."""
        deb = self.folder / "pool" / f"{name}_{version}_amd64.deb"
        with tempfile.TemporaryDirectory(dir=self.folder) as build:
            control = pathlib.Path(build, "DEBIAN", "control")
            control.parent.mkdir(mode=0o755)
            text = (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@localhost>\n"
                    + (f"Depends: {depends}\n" if depends else "") + "Description: made up\n")
            control.write_text(text)
            for path, content in (files or {}).items():
                target = pathlib.Path(build, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, pathlib.Path):
                    shutil.copy(content, target)
                else:
                    target.write_text(content)
            pathlib.Path(build).chmod(0o755)
            deb.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", build, deb], check=True,
                           stdout=subprocess.DEVNULL)
        data = deb.read_bytes()
        text += f"Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        self.packages.setdefault(suite, {})[name, version] = text

    def kernel(self, release, version, without=(), kbuild=None, suite="bookworm", split=False, kbuild_files=None,
               image_version=None):
        """The packages of one release, named as Debian's, but for those in `without`."""
        flavoured, kbuild_name = f"{release}-cloud-amd64", f"linux-kbuild-{release}"
        headers = f"usr/src/linux-headers-{flavoured}"
        marker = f"{flavoured} {version}\n"

        def add(part, *arguments, **options):
            if part not in without:
                self.add(*arguments, suite=suite, **options)

        image = f"usr/lib/modules/{flavoured}/vmlinuz" if split else f"boot/vmlinuz-{flavoured}"
        module = f"usr/lib/modules/{flavoured}/kernel/virtio.ko"
        if split:
            add("image", f"linux-image-{flavoured}", version,
                depends=f"linux-base (>= 4), linux-binary-{flavoured} (= {version}), linux-modules-{flavoured} (= {version})")
            add("binary", f"linux-binary-{flavoured}", version, files={image: marker})
            add("modules", f"linux-modules-{flavoured}", version, files={module: marker})
        else:
            add("image", f"linux-image-{flavoured}", image_version or version,
                depends="kmod, initramfs-tools (>= 0.1) | linux-initramfs-tool", files={image: marker, module: marker})
        add("headers", f"linux-headers-{flavoured}", version,
            depends=f"linux-headers-{release}-common (= {version}), {kbuild_name} (>= {version}), linux-compiler-gcc-99-x86",
            files={f"{headers}/Makefile": f"include /usr/src/linux-headers-{release}-common/Makefile\n",
                   f"{headers}/.kernelvariables": "CC = $(CCACHE) $(CROSS_COMPILE)gcc-99\n",
                   f"{headers}/include/config/auto.conf": "CONFIG_PAHOLE_VERSION=999\nCONFIG_SMP=y\n"
                                                          "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=y\n",
                   f"{headers}/include/generated/autoconf.h": "#define CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT 1\n",
                   f"{headers}/vmlinux": "types\n"})
        add("common", f"linux-headers-{release}-common", version,
            files={f"usr/src/linux-headers-{release}-common/Makefile": "all:\n"})
        add("kbuild", kbuild_name, kbuild or version,
            files={f"usr/lib/linux-kbuild-{release}/kbuild": marker, **(kbuild_files or {})})

    def publish(self, *aliases):
        """Writes the lists. aliases: (name, suite) of further names that suites have, as stable-backports."""
        shutil.rmtree(self.folder / "dists", ignore_errors=True)
        for name, suite in [(suite, suite) for suite in {"bookworm", *self.packages}] + list(aliases):
            lists = "\n".join(self.packages.get(suite, {}).values()).encode()
            packages = self.folder / "dists" / name / "main" / "binary-amd64" / "Packages"
            packages.parent.mkdir(parents=True)
            packages.write_bytes(lists)
            (self.folder / "dists" / name / "Release").write_text(
                f"Origin: Debian\nLabel: Debian\nSuite: {name}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
                f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S UTC', time.gmtime())}\n"
                f"SHA256:\n {hashlib.sha256(lists).hexdigest()} {len(lists)} main/binary-amd64/Packages\n")


class Server:
    """Serves an archive over HTTP; behave(path, how often it was asked for) says 'fail', 'drop', 'stall', 'late' or None."""

    def __init__(self, machine, behave):
        counts, lock, server = {}, threading.Lock(), self
        self.stalled = threading.Event()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                with lock:
                    counts[self.path] = counts.get(self.path, 0) + 1
                    what = behave(self.path, counts[self.path])
                if what == "fail":
                    self.send_error(503)
                elif what == "drop":
                    self.close_connection = True
                elif what == "stall":
                    server.stalled.set()
                    time.sleep(60)
                else:
                    if what == "late":
                        time.sleep(1)
                    super().do_GET()

            def log_message(self, *arguments):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *arguments):
                pass

        self.server = Quiet(("127.0.0.1", 0), functools.partial(Handler, directory=machine.archive.folder))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        machine.source(f"http://127.0.0.1:{self.server.server_port}/")


def later_libc(folder):
    """A program that is linked with a libc of the future, that libc, and its loader."""
    source, script, libc = folder / "libc.c", folder / "libc.map", folder / "libc.so.6"
    source.write_text("int later_function(void) { return 0; }\n")
    script.write_text("GLIBC_2.999 { later_function; };\n")
    subprocess.run(["gcc", "-shared", "-nostdlib", "-fPIC", "-o", libc, source, "-Wl,-soname,libc.so.6",
                    f"-Wl,--version-script={script}"], check=True)
    program = folder / "program"
    main = folder / "program.c"
    main.write_text("int later_function(void);\nvoid _start(void) { later_function(); for (;;) ; }\n")
    subprocess.run(["gcc", "-nostdlib", "-o", program, main, libc], check=True)
    loader = pathlib.Path("/lib64/ld-linux-x86-64.so.2").resolve()
    return program, libc, loader
