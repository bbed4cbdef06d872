fn main(){ for _ in 0..3 { let t=std::time::Instant::now(); let c=drover_uplink::http_client().unwrap(); println!("{:?}", t.elapsed()); drop(c);} }
