/* Text to object by LLVM 19: the only file that includes its headers, built as a shared object. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/llvm/plugin.h"

/* The kernels are vector code as written: what is left to do is to clean up. No loop idioms: a loop must not become a call of memset. */
static const char passes[] = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,"
                             "simplifycfg,loop-simplify,lcssa,"
                             "loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,simplifycfg)";

/* One module on its way. */
typedef struct work {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMPassBuilderOptionsRef options;
    LLVMMemoryBufferRef object;
} work;

static pthread_once_t started = PTHREAD_ONCE_INIT;
static _Thread_local jmp_buf *way_out; /* of a compilation under way on this thread */

/* LLVM would end the process (an intrinsic that the CPU has not). What it held is lost. */
static void escape(const char *reason) {
    (void)reason;
    if (way_out) longjmp(*way_out, 1);
}

static void start(void) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
    LLVMInstallFatalErrorHandler(escape);
}

/* Without a handler, LLVM prints and, at an error, exits. */
static void note_diagnostic(LLVMDiagnosticInfoRef info, void *failed) {
    if (LLVMGetDiagInfoSeverity(info) == LLVMDSError) *(bool *)failed = true;
}

static bool parse(work *it, const char *ir) {
    char *message = NULL;
    LLVMMemoryBufferRef text = LLVMCreateMemoryBufferWithMemoryRange(ir, strlen(ir), "kernel",
                                                                     /*RequiresNullTerminator=*/1);
    bool failed =
        LLVMParseIRInContext(it->context, text, &it->module, &message); /* takes the text */
    LLVMDisposeMessage(message);
    if (failed) return false;
    message = NULL;
    failed = LLVMVerifyModule(it->module, LLVMReturnStatusAction, &message);
    LLVMDisposeMessage(message);
    return !failed;
}

/* The functions name their CPU themselves; the machine's own would only matter for those that don't. */
static bool make_machine(work *it) {
    char *message = NULL;
    LLVMTargetRef target = NULL;
    bool failed = LLVMGetTargetFromTriple(LLVMGetTarget(it->module), &target, &message);
    LLVMDisposeMessage(message);
    if (failed) return false;
    it->machine =
        LLVMCreateTargetMachine(target, LLVMGetTarget(it->module), "", "", LLVMCodeGenLevelDefault,
                                LLVMRelocPIC, LLVMCodeModelSmall);
    if (!it->machine) return false;
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(it->machine);
    LLVMSetModuleDataLayout(it->module, layout);
    LLVMDisposeTargetData(layout);
    return true;
}

static bool optimize(work *it) {
    it->options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(it->module, passes, it->machine, it->options);
    if (error) LLVMConsumeError(error);
    return !error;
}

static bool emit(work *it) {
    char *message = NULL;
    bool failed = LLVMTargetMachineEmitToMemoryBuffer(it->machine, it->module, LLVMObjectFile,
                                                      &message, &it->object);
    LLVMDisposeMessage(message);
    return !failed;
}

static bool copy_object(const work *it, void **object, size_t *bytes) {
    *bytes = LLVMGetBufferSize(it->object);
    *object = malloc(*bytes ? *bytes : 1);
    if (*object) memcpy(*object, LLVMGetBufferStart(it->object), *bytes);
    return *object;
}

static void end(work *it) {
    if (it->object) LLVMDisposeMemoryBuffer(it->object);
    if (it->options) LLVMDisposePassBuilderOptions(it->options);
    if (it->machine) LLVMDisposeTargetMachine(it->machine);
    if (it->module) LLVMDisposeModule(it->module);
    if (it->context) LLVMContextDispose(it->context);
}

/* Apart from what calls setjmp, so that no variable of it is in doubt after a longjmp. */
static bool compile_guarded(const char *ir, void **object, size_t *bytes) {
    bool failed = false;
    work it = {.context = LLVMContextCreate()};
    LLVMContextSetDiagnosticHandler(it.context, note_diagnostic, &failed);
    bool made = parse(&it, ir) && make_machine(&it) && optimize(&it) && emit(&it) && !failed &&
                copy_object(&it, object, bytes);
    end(&it);
    return made;
}

static bool compile(const char *ir, void **object, size_t *bytes) {
    pthread_once(&started, start);
    jmp_buf out;
    if (setjmp(out)) {
        way_out = NULL;
        return false;
    }
    way_out = &out;
    bool made = compile_guarded(ir, object, bytes);
    way_out = NULL;
    return made;
}

static const llvm_plugin plugin = {
    .version = LLVM_PLUGIN_VERSION,
    .llvm_version = LLVM_VERSION_STRING,
    .compile = compile,
    .release = free,
};

__attribute__((visibility("default"))) const llvm_plugin *thalweg_llvm_plugin(void);

const llvm_plugin *thalweg_llvm_plugin(void) { return &plugin; }
