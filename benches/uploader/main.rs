//! Plain uploads to S3, to measure against: `uploader sequential|parallel BUCKET PREFIX DIRECTORY`, with the endpoint and the
//! credentials in the usual variables.
//!
//! `sequential` puts one file after the other and then copies each hash-named release to its plain name, as a publish
//! does. `parallel` puts every file in parts of 8 MiB, twelve at once, all files at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use futures_util::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMultipartOptions};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

const PART: usize = 8 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, bucket, prefix, directory] = arguments.as_slice() else { panic!("uploader MODE BUCKET PREFIX DIRECTORY") };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_endpoint(std::env::var("AWS_ENDPOINT_URL").unwrap())
        .with_allow_http(true)
        .build()
        .unwrap();
    let files: Vec<(PathBuf, Path)> = walkdir::WalkDir::new(directory)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(directory).unwrap().to_str().unwrap();
            (entry.path().to_owned(), Path::parse(format!("{prefix}/{name}")).unwrap())
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match mode.as_str() {
            "sequential" => sequential(&store, &files).await,
            "parallel" => parallel(Arc::new(store), files).await,
            other => panic!("no mode {other}"),
        }
    });
}

async fn sequential(store: &AmazonS3, files: &[(PathBuf, Path)]) {
    for (file, key) in files {
        store.put(key, std::fs::read(file).unwrap().into()).await.unwrap();
    }
    for (_, key) in files.iter().filter(|(_, key)| key.as_ref().contains("/targets/releases/")) {
        let (directory, name) = key.as_ref().rsplit_once('/').unwrap();
        let (_, plain) = name.split_once('.').unwrap();
        store.copy(key, &Path::parse(format!("{directory}/{plain}")).unwrap()).await.unwrap();
    }
}

async fn parallel(store: Arc<AmazonS3>, files: Vec<(PathBuf, Path)>) {
    let permits = Arc::new(Semaphore::new(12));
    let uploads = files.into_iter().map(|(file, key)| {
        let (store, permits) = (Arc::clone(&store), Arc::clone(&permits));
        tokio::spawn(async move {
            let mut upload = store.put_multipart_opts(&key, PutMultipartOptions::default()).await.unwrap();
            let mut source = std::fs::File::open(file).unwrap();
            let mut parts = Vec::new();
            loop {
                let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
                let mut part = Vec::with_capacity(PART);
                source.by_ref().take(PART as u64).read_to_end(&mut part).unwrap();
                if part.is_empty() {
                    break;
                }
                let sending = upload.put_part(Bytes::from(part).into());
                parts.push(tokio::spawn(async move {
                    sending.await.unwrap();
                    drop(permit);
                }));
            }
            join_all(parts).await.into_iter().for_each(Result::unwrap);
            upload.complete().await.unwrap();
        })
    });
    join_all(uploads).await.into_iter().for_each(Result::unwrap);
}
