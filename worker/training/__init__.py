"""Fine-tuning and evaluation in pure PyTorch: of this project's code it imports `app.finetune` alone.

The rooms, each of which imports only from those below it:

    finetune                            the method on one page
    estimation | super_resolution       the cost of a run | the training of a DSR network
    loop | evaluation                   the training loop | what a backbone recognises, and its report
    checks                              leaks, collapse, overfitting
    validation | checkpoints            recognition on val, the best epoch | files that resume and export a run
    objectives                          margin losses, distillation
    data                                faces: preprocessing, augmentation, batches
    models | storage                    networks | paths, digests, atomic files
    runtime | metrics                   device, memory, threads, progress | functions on embeddings and scores
"""
