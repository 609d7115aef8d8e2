"""The cases of bench/compare that have peers. Each gives lines, RESULT lines, and versions."""
import pathlib
import statistics
import tempfile

from measure import TUNED, Floor, Side, compare_checks, peers, rounds, run

PEERS = ("PyTorch eager", "PyTorch compile", "JAX jit")
LOSS_TOLERANCE = 1e-3
LIMIT = 0.85  # an L of this is as good as the R that is wanted


def versions_of(sides):
    return list(dict.fromkeys(side.version for side in sides if side.version))


def prepared(options, model):
    """The program that trains, and a file of weights and data."""
    program = options.build / "bench" / "bench_training"
    file = options.build / "bench" / f"{model}.safetensors"
    run(program, model, "prepare", file)
    return program, file


def training(model, about):
    def case(options):
        program, file = prepared(options, model)
        count, seconds = options.rounds or 7, options.seconds or 0.5
        ours = Side("Thalweg", [program, model, "run", file, options.threads])
        sides = [ours, *peers("training", [model, file, options.threads], options.threads, PEERS)]
        compare_checks(sides, LOSS_TOLERANCE)
        floor = Floor(options.build / "bench", options.threads)
        rounds(sides, model, count, seconds, floor)
        floor.side.end()
        losses = " ".join(f"{loss:.4f}" for loss in ours.checks[model])
        lines = [f"losses agree within {LOSS_TOLERANCE}: {losses}",
                 f"{count} interleaved rounds of {seconds} s each, {about}, f32; "
                 "median (fastest to slowest round) of a step:"]
        for side in sides:
            side.end()
            times = side.seconds[model]
            lines.append(f"  {side.name:16} {side.median(model) * 1e3:8.3f} ms "
                         f"({min(times) * 1e3:.3f} to {max(times) * 1e3:.3f})")
        least = floor.below(model, sides)
        lines.append(f"  {'floor':16} {least * 1e3:8.3f} ms ({floor})")
        ratio = ours.median(model) / min(side.median(model) for side in sides[1:])
        return lines, [f"RESULT {model}-train ratio={ratio:.3f} "
                       f"limit={least / ours.median(model):.3f}"], versions_of(sides)
    return case


def operators(title, names, sides_of, count, seconds, tolerance=1e-4):
    """A table of expressions; `names` gives for each the R that is wanted."""
    def case(options):
        bench = options.build / "bench"
        turns, length = options.rounds or count, options.seconds or seconds
        ours = Side("Thalweg", [bench / "bench_operators", options.threads, *names])
        sides = [ours, *sides_of(options, list(names))]
        compare_checks(sides, tolerance)
        floor = Floor(bench, options.threads)
        for name in names:
            rounds(sides, name, turns, length, floor)
        for side in (*sides, floor.side):
            side.end()
        lines = [f"results agree within {tolerance}; {turns} interleaved rounds of {length} s each, "
                 "f32; median in ms (half of the distance from fastest to slowest round):",
                 f"{title:22}" + "".join(f"{side.name:>20}" for side in sides) + f"{'floor':>10}"]
        results = []
        for name, aim in names.items():
            least, mine = floor.below(name, sides), ours.median(name)
            lines.append(f"{name.partition(':')[2]:22}" if title == "dot" else f"{name:22}")
            for side in sides:
                spread = (max(side.seconds[name]) - min(side.seconds[name])) / 2
                lines[-1] += f"{side.median(name) * 1e3:11.4f} ({spread * 1e3:.4f})".rjust(20)
            lines[-1] += f"{least * 1e3:10.4f}"
            ratio = mine / min(side.median(name) for side in sides[1:])
            limit = least / mine
            met = ratio <= aim or limit >= LIMIT
            results.append((not met, ratio / aim, f"RESULT {name} ratio={ratio:.3f} limit={limit:.3f}"))
        lines.append(f"floor: {floor}; {sum(not missed for missed, _, _ in results)} of "
                     f"{len(results)} reach their aim: R of the aim, or L of {LIMIT}")
        return lines, [result for _, _, result in sorted(results)], versions_of(sides)
    return case


def frameworks(options, names):
    return peers("operators", [options.threads, *names], options.threads, PEERS)


def products_alone(options, names):
    onednn = Side("oneDNN", [options.build / "bench" / "bench_onednn", *names],
                  {"OMP_NUM_THREADS": str(options.threads), **TUNED})
    return [onednn, *peers("operators", [options.threads, *names], options.threads, PEERS[:1])]



def start(name, model, program, file, threads, cache):
    caches = {"THALWEG_CACHE": cache / "thalweg", "TORCHINDUCTOR_CACHE_DIR": cache / "torch",
              "JAX_COMPILATION_CACHE_DIR": cache / "jax",
              "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
              "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": 0}
    caches = {variable: str(value) for variable, value in caches.items()}
    if name == "Thalweg":
        return [Side(name, [program, model, "run", file, threads], caches)]
    return peers("training", [model, file, threads], threads, [name], {**TUNED, **caches})


def compile_time(options):
    """A peer that is slower than thrice the best one is not asked again: it decides nothing."""
    lines, results, versions = [], [], {}
    for model in ("mlp", "convnet"):
        program, file = prepared(options, model)
        took = {(name, state): [] for state in ("cold", "warm") for name in ("Thalweg", *PEERS)}
        slow = set()
        for _ in range(options.rounds or 3):
            with tempfile.TemporaryDirectory() as folder:
                for name, state in ((name, state) for name in ("Thalweg", *PEERS) if name not in slow
                                    for state in ("cold", "warm")):
                    for side in start(name, model, program, file, options.threads,
                                      pathlib.Path(folder)):
                        side.time(model, options.seconds or 0.3)
                        side.end()
                        versions[side.version] = True
                        took[name, state].append(side)
            firsts = {name: took[name, "cold"][0].first for name in PEERS if took[name, "cold"]}
            slow = {name for name in firsts if firsts[name] > 3 * min(firsts.values())}
        for state in ("cold", "warm"):
            medians = {}
            for name in ("Thalweg", *PEERS):
                sides = took[name, state]
                if not sides:
                    continue
                steady = statistics.median(side.median(model) for side in sides)
                whole = [side.first - steady for side in sides]
                work = statistics.median(side.first - side.loaded for side in sides) - steady
                medians[name] = statistics.median(whole)
                lines.append(f"  {model:8} {state} {name:16} {medians[name]:8.3f} s "
                             f"({min(whole):.3f} to {max(whole):.3f}), {work:.3f} of it after "
                             f"loading libraries; rounds: {len(sides)}")
            ratio = medians.pop("Thalweg") / min(medians.values())
            results.append((ratio, f"RESULT compile-time:{model}-{state} ratio={ratio:.3f}"))
    lines.insert(0, "from the process's start to the end of step 1, less a steady step, with empty and "
                    "with filled cache; median (fastest to slowest):")
    return lines, [result for _, result in sorted(results)], [word for word in versions if word]


def memory(options):
    """PyTorch's allocator as it comes: the tuned one, made for speed, keeps more."""
    lines, results, versions = [], [], []
    for model in ("mlp", "convnet"):
        program, file = prepared(options, model)
        peak = {}
        for name in ("Thalweg", *PEERS):
            sides = ([Side(name, [program, model, "run", file, options.threads])]
                     if name == "Thalweg" else
                     peers("training", [model, file, options.threads], options.threads, [name], {}))
            for side in sides:
                side.time(model, options.seconds or 2)
                peak[name] = side.ask("memory")
                side.end()
                versions += [side.version] * (model == "mlp" and side.version != "")
                lines.append(f"  {model:8} {name:16} {peak[name] / 1e6:8.1f} MB")
                if name == "Thalweg":
                    numbers = side.numbers
        planned = numbers["planned_bytes"] + numbers["state_bytes"]
        grown = numbers["after_bytes"] - numbers["before_bytes"]
        lines.append(f"  {model:8} planned {numbers['planned_bytes'] / 1e6:.1f} MB, optimiser's state "
                     f"{numbers['state_bytes'] / 1e6:.1f} MB; memory of its own grew by "
                     f"{grown / 1e6:.1f} MB from {numbers['before_bytes'] / 1e6:.1f} MB")
        ratio = peak["Thalweg"] / min(size for name, size in peak.items() if name.startswith("Py"))
        results.append((ratio, f"RESULT memory:{model} ratio={ratio:.3f} "
                               f"plan={planned / grown:.3f}"))
    lines.insert(0, "most resident memory of the process, training at batch 128; the ratio is to the "
                    "better of PyTorch's; plan is transients and state over what ours grows by as it "
                    "compiles and runs, pages of files and machine code apart:")
    return lines, [result for _, result in sorted(results)], versions


ELEMENTWISE = {f"{word}:{n << 10}": 0.60 for word in ("silu", "gelu", "tanh")
               for n in (64, 1 << 10, 16 << 10)}
# batch x m x k x n; the small and skinny ones are held to more.
SQUARE = ("1x256x256x256", "1x512x512x512", "1x1024x1024x1024", "1x1536x1536x1536",
          "1x128x784x512", "1x1024x768x3072")
SMALL = ("1x8x8x8", "1x16x16x16", "1x32x32x32", "1x48x48x48", "1x64x64x64", "1x96x96x96")
SKINNY = ("1x4096x64x8", "1x8x512x512", "1x16x784x256", "1x4x1024x1024", "1x2048x256x10",
          "1x10x2048x256", "1x64x256x10")
SMALL_K = ("1x512x4x512", "1x1024x8x1024", "1x256x16x256", "1x2048x1x2048")
GEMV = ("1x1x1024x1024", "1x1024x1024x1", "1x1x4096x4096", "1x1x256x1024")
BATCHED = ("64x64x64x64", "96x32x64x32", "256x16x16x16")
DOT = {f"dot:{shape}": 0.8 if shape in SMALL + SKINNY else 1.0
       for shape in SQUARE + SMALL + SKINNY + SMALL_K + GEMV + BATCHED}

TABLE = {"practice-train": training("practice", "64 x 784-256-10, SGD"),
         "mlp-train": training("mlp", "784-512-512-10, batch 128, Adam"),
         "convnet-train": training("convnet", "batch 128, Adam"),
         "elementwise": operators("elementwise", ELEMENTWISE, frameworks, 7, 0.1),
         "softmax": operators("softmax", {"softmax:2048x1024": 0.60}, frameworks, 7, 0.3),
         "dot": operators("dot", DOT, products_alone, 7, 0.05),
         "compile-time": compile_time,
         "memory": memory}
