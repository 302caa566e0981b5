"""All errors that the project raises on purpose, with their codes. A test compares the drawing with the classes.

EdgefaceError                       error
├── ConfigError                     config_invalid
│   └── SubjectPatternInvalid       subject_pattern_invalid
├── DataError                       dataset_invalid
│   ├── FolderMissing               dataset_folder_missing
│   ├── FolderUnreadable            dataset_folder_unreadable
│   ├── FolderEmpty                 dataset_folder_empty
│   ├── FilesNotRegular             dataset_files_not_regular
│   ├── LinksLeadOutside            dataset_links_outside
│   ├── ManifestUnreadable          dataset_manifest_unreadable
│   ├── UnreadableImages            image_unreadable
│   ├── SubjectsNotFound            subjects_not_found
│   ├── TrainHrMissing              train_hr_missing
│   ├── TooFewSubjects              too_few_subjects
│   ├── NothingToSelectBy           val_not_comparable
│   ├── PhotoCopied                 photo_copied
│   ├── PersonUnderTwoNames         person_under_two_names
│   ├── NothingToCompare            eval_not_comparable
│   ├── FileGone                    file_gone
│   ├── ChangedWhileRead            changed_while_read
│   ├── DatasetChanged              dataset_changed
│   ├── InputsChanged               inputs_changed
│   ├── OutputNotEmpty              output_exists
│   ├── OutputInsideFaces           output_inside_faces
│   ├── AlreadyDataset              faces_are_a_dataset
│   ├── NoPhotos                    no_photos
│   ├── SubjectsNotRead             subjects_not_read
│   ├── FacesNested                 faces_nested
│   ├── ImagesSkipped               images_skipped
│   ├── SubjectsLost                subjects_lost
│   ├── TooFewToSplit               too_few_to_split
│   ├── CannotFold                  cannot_fold
│   ├── NothingAligned              nothing_aligned
│   ├── DatasetNameTaken            dataset_name_taken
│   ├── DatasetHidesUpload          dataset_hides_upload
│   └── ArchiveError                archive_invalid
│       ├── ArchiveFormatUnknown    archive_format_unknown
│       ├── ArchiveDamaged          archive_damaged
│       ├── ArchiveEncrypted        archive_encrypted
│       ├── ArchivePathUnsafe       archive_path_unsafe
│       ├── ArchiveLink             archive_link
│       ├── ArchiveSpecialFile      archive_special_file
│       ├── ArchiveNested           archive_nested
│       ├── ArchiveNamesCollide     archive_names_collide
│       ├── ArchiveTooManyEntries   archive_too_many_entries
│       ├── ArchiveTooLarge         archive_too_large
│       ├── ArchiveBomb             archive_bomb
│       └── ArchiveWithoutImages    archive_without_images
├── WeightsError                    weights_invalid
│   ├── WeightsMissing              weights_missing
│   ├── WeightsUnreadable           weights_unreadable
│   ├── WeightsOtherFormat          weights_other_format
│   ├── WeightsUnsafe               weights_unsafe
│   ├── WeightsQuantized            weights_quantized
│   ├── WeightsWithoutTensors       weights_without_tensors
│   ├── WeightsAmbiguous            weights_ambiguous
│   ├── WeightsValuesInvalid        weights_values_invalid
│   ├── WeightsTooLarge             weights_too_large
│   └── WeightsMismatch             weights_mismatch
├── TooLittleMemory                 too_little_memory
├── TrainingDiverged                training_diverged
│   ├── EnlargementNotFinite        dsr_not_finite
│   ├── LossNotFinite               loss_not_finite
│   └── DsrLossNotFinite            dsr_loss_not_finite
├── OutOfMemory                     out_of_memory
├── GpuFull                         gpu_full
├── DiskFull                        disk_full
├── DeviceUnavailable               device_unavailable
├── OnnxDiffers                     onnx_differs
├── GpuUnusable                     gpu_unusable
├── AlignExtraMissing               align_extra_missing
├── AlignModelDamaged               align_model_damaged
├── JobNotFound                     job_not_found
├── NotPausable                     job_not_pausable
├── NotPaused                       job_not_paused
├── NotRetryable                    job_not_retryable
├── StatesGone                      states_gone
├── NothingToPin                    nothing_to_pin
├── NotDeletable                    job_not_deletable
├── JobInUse                        job_in_use
├── JobDeleted                      job_deleted
├── SweepNotFound                   sweep_not_found
├── SweepExists                     sweep_exists
├── SweepTooLarge                   sweep_too_large
├── SweepInvalid                    sweep_invalid
├── IdempotencyKeyReused            idempotency_key_reused
├── TooManyQueuedJobs               too_many_queued_jobs
├── DatasetNotRegistered            dataset_not_registered
├── DatasetNotUploaded              dataset_not_uploaded
├── NoSheet                         no_sheet
├── NotEvaluated                    not_evaluated
├── NotExported                     not_exported
├── NotComparable                   not_comparable
├── CheckpointNotReady              checkpoint_not_ready
├── CheckpointNotKept               checkpoint_not_kept
├── NoBackbone                      no_backbone
├── StoredFileMissing               file_missing
├── StoredFileUnreadable            file_unreadable
├── CursorInvalid                   cursor_invalid
├── ClientGone                      client_gone
├── BodyTooLarge                    body_too_large
├── HeadersTooLarge                 headers_too_large
├── TargetTooLong                   uri_too_long
├── RetryLater                      retry_later
│   ├── ChecksBusy                  checks_busy
│   ├── TriesBusy                   tries_busy
│   ├── TooManyRequests             too_many_requests
│   ├── ReadersBusy                 readers_busy
│   ├── ReadersUnavailable          readers_unavailable
│   └── ReadCancelled               read_cancelled
├── InputError                      input_invalid
│   ├── OutsideRoots                path_outside_roots
│   ├── InputUnreadable             input_unreadable
│   ├── DatasetNotFound             dataset_not_found
│   ├── WeightsNotFound             weights_not_found
│   ├── TrainIsVal                  train_is_val
│   ├── DsrTooLarge                 dsr_too_large
│   ├── WeightsJobNotFound          weights_job_not_found
│   ├── WeightsNotOfKind            weights_not_of_kind
│   ├── WeightsNotReady             weights_not_ready
│   └── WeightsNotKept              weights_not_kept
├── PhotoRefused                    photo_refused
│   ├── PhotoUnreadable             photo_unreadable
│   ├── FaceNotFound                face_not_found
│   ├── SeveralFaces                several_faces
│   └── PhotosInvalid               photos_invalid
├── ModelFileDamaged                model_file_damaged
├── ModelNotFound                   model_not_found
├── ExportMissing                   export_missing
├── LimitExceeded                   file_too_costly
│   ├── NeedsTooMuchMemory          file_needs_memory
│   ├── TakesTooLong                file_takes_long
│   ├── WritesTooMuch               file_unpacks_large
│   ├── AnswersTooMuch              file_describes_too_much
│   └── ReaderCrashed               file_crashes_reader
├── RootUnreadable                  folder_unreadable
├── UploadError                     upload_invalid
│   ├── UploadNotFound              upload_not_found
│   ├── UploadVersionUnknown        upload_version_unknown
│   ├── UploadLengthMissing         upload_length_missing
│   ├── UploadHeaderInvalid         upload_header_invalid
│   ├── UploadTypeWrong             upload_type_wrong
│   ├── UploadFormInvalid           upload_form_invalid
│   ├── UploadOffsetWrong           upload_offset_wrong
│   ├── UploadTooLong               upload_too_long
│   ├── UploadChecksumWrong         upload_checksum_wrong
│   ├── UploadBusy                  upload_busy
│   ├── UploadNotResumable          upload_not_resumable
│   ├── UploadUnfinished            upload_unfinished
│   ├── UploadInUse                 upload_in_use
│   ├── UploadQuotaExceeded         upload_quota_exceeded
│   ├── TooManyUploads              too_many_uploads
│   ├── UploadDiskFull              upload_disk_full
│   ├── WeightsNameTaken            weights_name_taken
│   ├── WeightsNotUploaded          weights_not_uploaded
│   └── InputInUse                  input_in_use
├── AccessRefused                   access_refused
│   ├── KeyMissing                  key_missing
│   ├── KeyInvalid                  key_invalid
│   ├── ScopeMissing                scope_missing
│   ├── NotOwner                    not_owner
│   ├── PriorityNeedsAdmin          priority_needs_admin
│   ├── CsrfTokenMissing            csrf_token_missing
│   ├── HostRefused                 host_refused
│   └── CrossSiteRefused            cross_site_refused
├── KeysNeeded                      keys_needed
├── AdminKeyFileInvalid             admin_key_file_invalid
├── KeyNameInvalid                  key_name_invalid
├── KeyNotFound                     key_not_found
├── LeaseLost                       lease_lost
├── TrainerDied                     trainer_died
├── TrainerCrashed                  internal_error
├── TrainerStuck                    trainer_stuck
├── DeviceFailed                    device_failed
├── MachineFailed                   machine_failed
├── FilesAway                       files_away
├── WorkerLost                      worker_lost
├── Poisoned                        poison
├── BackupExists                    backup_exists
├── BackupNeedsServer               backup_needs_pg_dump
├── BackupDamaged                   backup_damaged
├── BackupFailed                    backup_failed
├── DatabaseUnavailable             database_unavailable
├── DatabaseDamaged                 database_damaged
├── DatabaseDiskFull                database_disk_full
├── DatabaseReadOnly                database_read_only
├── DatabaseRefused                 database_refused
├── CannotStart                     cannot_start
│   ├── FolderNotWritable           folder_not_writable
│   ├── AddressUnavailable          address_unavailable
│   └── AlreadyServed               already_served
├── BackupInvalid                   backup_invalid
├── RestoreNotEmpty                 restore_not_empty
├── RestoreOtherDatabase            restore_other_database
└── DatabaseMissing                 database_missing

The other modules that define some of them: dataset_errors.py, retry_later.py, training_errors.py and weights_errors.py
beside this one, app/access/errors.py, app/dataset_build/errors.py, app/alignment/errors.py, app/datasets/errors.py,
app/inputs/errors.py, app/isolated/errors.py, app/jobs/errors.py, app/jobs/attempt_errors.py, app/archives/errors.py,
app/uploads/errors.py, app/recognition/errors.py, app/request_limits/errors.py, app/database_errors.py, app/startup.py,
app/backup.py and app/sqlite_file.py.
"""
